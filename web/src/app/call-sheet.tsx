import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { clock, length, money } from "../lib/format";
import { t } from "../texts";
import { Avatar, Button, Keypad, Notice, Round, Sheet } from "../ui/ui";
import { Block } from "./block";
import * as app from "./model";
import { Note } from "./note";
import { Ticking } from "./parts";
import type { Call } from "./phone";

const words = t.app.call;

/** A client's call, from its ringing to what came of it. */
export function CallSheet(p: { call: Call }) {
  const { call } = p;
  const talk = app.talk.value;
  const asked = call.phase === "up" && talk?.asked && !talk.accepted;
  return (
    <Sheet name={call.phase === "ringing" ? words.incoming : words.talking}>
      {call.phase === "ringing" && <Ringing call={call} />}
      {call.phase === "joining" && <Who call={call} says={words.connecting} />}
      {asked && <Asked call={call} />}
      {call.phase === "up" && !asked && <Talking call={call} />}
      {call.phase === "over" && <Over call={call} />}
    </Sheet>
  );
}

function Who(p: { call: Call; title?: string; says?: ComponentChildren; pulse?: boolean }) {
  const { alias, topic } = p.call.about;
  return (
    <div class="middle">
      <Avatar name={alias} large pulse={p.pulse ?? false} />
      <h2>{p.title ?? (alias || words.client)}</h2>
      {topic && <p class="soft">{words.about(topic)}</p>}
      {p.says && <p role="status">{p.says}</p>}
    </div>
  );
}

function Ringing(p: { call: Call }) {
  const { kind, alias, seconds } = p.call.about;
  const paid = seconds > 0 && <span>{words.paid(length(seconds))}</span>;
  const agreed = kind === "appointment" && <span class="soft">{words.appointment}</span>;
  return (
    <>
      <Who call={p.call} title={words.isCalling(alias || words.client)} says={(paid || agreed) && <span class="lines">{paid}{agreed}</span>} pulse />
      <div class="bottom">
        <Round icon="hangup" name={words.decline} kind="bad" onClick={app.refuse} />
        <Round icon="phone" name={kind ? words.accept : words.answer} kind="good" onClick={() => void app.phone.value?.answer()} />
      </div>
    </>
  );
}

/** The voice says who calls, and asks. */
function Asked(p: { call: Call }) {
  return (
    <>
      <Who call={p.call} says={words.listen} />
      <div class="bottom">
        <Round icon="close" name={words.decline} kind="bad" onClick={app.refuse} />
        <Round icon="check" name={words.accept} kind="good" onClick={app.accept} />
      </div>
    </>
  );
}

function Talking(p: { call: Call }) {
  const [more, show] = useState<"" | "keys" | "note">("");
  const { talkingSince = 0, client = "", paid = 0 } = app.talk.value ?? {};
  const phone = app.phone.value;
  const time = talkingSince ? <Time since={talkingSince} seconds={paid} /> : words.joining;
  const toggle = (what: "keys" | "note") => show(more === what ? "" : what);
  return (
    <>
      {p.call.trouble && <Notice tone="warn">{words.trouble}</Notice>}
      {more === "" && <Who call={p.call} says={time} />}
      {more === "keys" && (
        <div class="middle">
          <p>{time}</p>
          <Keypad name={t.common.keypad} names={{ "*": t.common.star, "#": t.common.hash }} onKey={(key) => phone?.key(key)} />
        </div>
      )}
      {more === "note" && (
        <div class="middle fill">
          <p>{time}</p>
          <Note client={client} rows={8} />
        </div>
      )}
      <div class="bottom">
        <Round icon={p.call.muted ? "muted" : "mic"} name={words.mute} pressed={p.call.muted} onClick={() => phone?.mute(!p.call.muted)} />
        <Round icon="keypad" name={words.keypad} pressed={more === "keys"} onClick={() => toggle("keys")} />
        {client && <Round icon="note" name={words.note} pressed={more === "note"} onClick={() => toggle("note")} />}
        <Round icon="hangup" name={words.hangUp} kind="bad" onClick={() => phone?.hangUp()} />
      </div>
    </>
  );
}

const asks = 10_000; // ms

/** What is left of the time that is paid; the time that was talked where that is not
 * known. */
function Time(p: { since: number; seconds: number }) {
  useEffect(() => {
    void app.lookPaid();
    const timer = setInterval(() => void app.lookPaid(), asks);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="lines">
      <Ticking class="clock">
        {(now) => {
          const left = p.since + p.seconds * 1000 - now;
          return left > 0 ? clock(left + 999) : clock(now - p.since);
        }}
      </Ticking>
      <Ticking class="soft">{(now) => (p.since + p.seconds * 1000 > now ? words.left : words.talkedSoFar)}</Ticking>
    </span>
  );
}

function Over(p: { call: Call }) {
  const { result, client } = app.talk.value ?? {};
  const why = words.endings[p.call.ending ?? "there"];
  return (
    <>
      <div class="middle">
        <Avatar name={p.call.about.alias} large />
        <h2>{words.over}</h2>
        {why && <p class="soft">{why}</p>}
        {result && result.talk_seconds > 0 && (
          <p role="status">
            {words.talked(length(result.talk_seconds))} <strong>{words.earned(money(result.share, result.currency))}</strong>
          </p>
        )}
      </div>
      {client && (
        <div class="stack">
          <Note client={client} rows={3} />
          <Block client={client} name={p.call.about.alias || words.client} />
        </div>
      )}
      <Button full onClick={app.callSeen}>{t.common.done}</Button>
    </>
  );
}
