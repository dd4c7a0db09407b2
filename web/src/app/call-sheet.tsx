import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { clock, length, money } from "../lib/format";
import { t } from "../texts";
import { Avatar, Button, Keypad, Notice, Round, Sheet } from "../ui/ui";
import * as app from "./model";
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
  return (
    <>
      <Who call={p.call} title={words.isCalling(p.call.about.alias || words.client)} pulse />
      <div class="bottom">
        <Round icon="hangup" name={words.decline} kind="bad" onClick={app.refuse} />
        <Round icon="phone" name={words.answer} kind="good" onClick={() => void app.phone.value?.answer()} />
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
  const [keys, showKeys] = useState(false);
  const since = app.talk.value?.talkingSince;
  const phone = app.phone.value;
  return (
    <>
      {p.call.trouble && <Notice tone="warn">{words.trouble}</Notice>}
      {keys ? (
        <div class="middle">
          <p>{since ? <Clock since={since} /> : words.joining}</p>
          <Keypad name={t.common.keypad} names={{ "*": t.common.star, "#": t.common.hash }} onKey={(key) => phone?.key(key)} />
        </div>
      ) : (
        <Who call={p.call} says={since ? <Clock since={since} /> : words.joining} />
      )}
      <div class="bottom">
        <Round icon={p.call.muted ? "muted" : "mic"} name={words.mute} pressed={p.call.muted} onClick={() => phone?.mute(!p.call.muted)} />
        <Round icon="keypad" name={words.keypad} pressed={keys} onClick={() => showKeys(!keys)} />
        <Round icon="hangup" name={words.hangUp} kind="bad" onClick={() => phone?.hangUp()} />
      </div>
    </>
  );
}

/** The time since, by the second. It is not read out each time. */
function Clock(p: { since: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
  return <span class="clock" role="timer" aria-live="off">{clock(Date.now() - p.since)}</span>;
}

function Over(p: { call: Call }) {
  const result = app.talk.value?.result;
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
      <Button full onClick={app.callSeen}>{t.common.done}</Button>
    </>
  );
}
