import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { shortLength } from "../lib/format";
import { t } from "../texts";
import { Button, Notice } from "../ui/ui";
import { AppointmentCard } from "./appointments";
import * as model from "./model";
import { Countdown } from "./parts";
import { leaveLine, takeTurn, waitEnded } from "./talk";

const words = t.client.wait;
const soon = 24 * 3600_000; // ms

/** What goes on for the client: waits, turns, and appointments that are near. */
export function Now(p: { waitsOnly?: boolean }) {
  const near = p.waitsOnly ? [] : model.appointments.value.filter((a) => a.state === "proposed" || a.state === "open" || a.state === "calling" || (a.state === "accepted" && Date.parse(a.starts_at) < Date.now() + soon));
  const ended = waitEnded.value;
  const why = ended && (words.ends as Record<string, string>)[ended.state];
  if (!model.waits.value.length && !near.length && !why) return null;
  return (
    <div class="across stack">
      {why && <Notice tone="warn" action={<Button kind="bare" onClick={() => (waitEnded.value = null)}>{t.common.close}</Button>}>{why}</Notice>}
      {model.waits.value.map((w) => <Waiting key={w.id} wait={w} />)}
      {near.map((a) => <AppointmentCard key={a.id} appointment={a} />)}
    </div>
  );
}

function Waiting(p: { wait: Schema["Wait"] }) {
  const { wait } = p;
  const [leaving, setLeaving] = useState(false);
  const leave = async () => {
    setLeaving(true);
    await leaveLine(wait.id);
    setLeaving(false);
  };
  const turn = wait.state === "turn";
  const place = [
    wait.place ? words.place(wait.place) : "",
    wait.advisor_away ? words.away : wait.at_most !== undefined ? words.atMost(shortLength(wait.at_most)) : "",
  ];
  return (
    <section class={`card waiting ${turn ? "turn" : ""}`} aria-label={words.title(wait.advisor.name)}>
      <div role="status" class="stack small">
        <h2>{turn ? words.turn(wait.advisor.name) : words.title(wait.advisor.name)}</h2>
        {!turn && <p>{place.filter(Boolean).join(" ")}</p>}
        <p class="soft">{turn ? wait.mode === "call_back" && words.turnCall : wait.mode === "page" ? words.page : words.callBack}</p>
      </div>
      <div class="row wrap">
        {turn && wait.mode === "page" && (
          <Button kind="good" icon="phone" onClick={() => void takeTurn(wait)}>
            {words.show} {wait.until && <Countdown until={wait.until} over={() => void model.lookAtWaits()} />}
          </Button>
        )}
        <Button kind="plain" busy={leaving} onClick={() => void leave()}>{words.leave}</Button>
      </div>
    </section>
  );
}
