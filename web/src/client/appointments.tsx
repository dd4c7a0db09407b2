import { useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { length, money, number, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Button, Chip } from "../ui/ui";
import * as model from "./model";
import { Said } from "./parts";

const words = t.client.appointment;

const tones: Record<string, { tone: "good" | "warn" }> = { proposed: { tone: "warn" }, accepted: { tone: "good" }, calling: { tone: "good" }, open: { tone: "good" } };

/** An appointment as it stands, with what the client can do about it. */
export function AppointmentCard(p: { appointment: Schema["Appointment"] }) {
  const a = p.appointment;
  const [doing, setDoing] = useState("");
  const [sure, ask] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const act = async (what: "acceptance" | "decline" | "cancellation") => {
    setDoing(what);
    setProblem(null);
    const path = { id: a.id };
    try {
      if (what === "acceptance") await model.api().post("/v1/appointments/{id}/acceptance", { path });
      else if (what === "decline") await model.api().post("/v1/appointments/{id}/decline", { path, body: {} });
      else await model.api().post("/v1/appointments/{id}/cancellation", { path, body: {} });
    } catch (e) {
      setProblem(model.asProblem(e));
    }
    await Promise.all([model.lookAtAppointments(), model.lookAtMe()]);
    setDoing("");
    ask(false);
  };
  const last = a.changes.at(-1);
  const before = a.state === "asked" || a.state === "proposed" || a.state === "accepted";
  return (
    <section class={`card ${a.state === "open" || a.state === "calling" ? "turn" : ""}`} aria-label={words.with(a.advisor.name)}>
      <div class="row wrap between">
        <h2>{words.with(a.advisor.name)}</h2>
        <Chip {...tones[a.state]}>{words.states[a.state]}</Chip>
      </div>
      <p>
        <strong>{whenFirst(a.starts_at)}</strong>, {length(a.seconds)}. {a.mode === "host_calls" ? words.hostCalls : words.dialIn}
      </p>
      {last?.by === "advisor" && last.reason && <p>{words.reason(last.reason)}</p>}
      <p class="soft">
        {words.cost(money(a.cost, a.price.currency))} {before && a.no_show ? words.noShow(money(a.no_show, a.price.currency)) : ""}
        {before && a.advisor_no_show ? ` ${words.advisorNoShow(money(a.advisor_no_show, a.price.currency))}` : ""}
        {a.compensation ? ` ${words.compensated(money(a.compensation, a.price.currency))}` : ""}
      </p>
      {a.state === "open" && a.number && (
        <>
          <a class="button good full dial" href={a.tel ?? ""} aria-label={t.client.talk.call(number(a.number))}>
            <Icon name="phone" />
            <span class="number digits">{number(a.number)}</span>
          </a>
          {a.pin && (
            <p>
              <span class="soft">{t.client.talk.pin}</span> <strong class="digits">{a.pin}</strong>
            </p>
          )}
        </>
      )}
      {problem && <Said problem={problem} />}
      {a.state === "proposed" && (
        <div class="row wrap">
          <Button kind="good" icon="check" busy={doing === "acceptance"} onClick={() => void act("acceptance")}>{words.accept}</Button>
          <Button kind="plain" busy={doing === "decline"} onClick={() => void act("decline")}>{words.decline}</Button>
        </div>
      )}
      {(a.state === "asked" || a.state === "accepted") && (
        <div class="row wrap">
          {sure ? (
            <>
              <span>{words.sure}</span>
              <Button kind="bad" busy={doing === "cancellation"} onClick={() => void act("cancellation")}>{words.yes}</Button>
              <Button kind="plain" onClick={() => ask(false)}>{words.no}</Button>
            </>
          ) : (
            <Button kind="plain" onClick={() => ask(true)}>{words.cancel}</Button>
          )}
        </div>
      )}
    </section>
  );
}
