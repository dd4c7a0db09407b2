import { useEffect, useState } from "preact/hooks";
import { clock, length, money, time, when, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Avatar, Button, Card, Chip, Field, Notice } from "../ui/ui";
import * as day from "./day";
import type { Appointment } from "./day";
import { verify } from "./model";
import { Area, Ask, Loaded, Ticking, Trouble, useAct } from "./parts";

const words = t.app.appointments;

/** That an appointment begins soon, and what there is to do before. */
export function Reminder() {
  const a = day.soon.value;
  if (!a) return null;
  const begins = Date.parse(a.starts_at);
  return (
    <Notice
      tone={day.verifyNow.value ? "warn" : "info"}
      action={day.verifyNow.value && <Button onClick={() => void verify()}>{words.verifyNow}</Button>}
    >
      <strong>{words.soon(a.client.name, time(a.starts_at))}</strong>{" "}
      <Ticking>{(now) => (now < begins ? words.startsIn(clock(begins - now)) : words.startsNow)}</Ticking>
      {day.verifyNow.value && <p>{words.verifyWhy}</p>}
    </Notice>
  );
}

/** What clients ask for and the advisor has to answer. */
export function Requests() {
  const list = day.requests.value;
  if (!list.length) return null;
  return (
    <Card title={words.requests} aside={<Chip tone="warn">{String(list.length)}</Chip>}>
      <ul class="list">{list.map((a) => <Request key={a.id} a={a} />)}</ul>
    </Card>
  );
}

function Request(p: { a: Appointment }) {
  const { a } = p;
  const [sheet, open] = useState<"" | "decline" | "propose">("");
  const { busy, problem, run } = useAct();
  return (
    <li class="stack">
      <What a={a} />
      <Trouble problem={problem} />
      <div class="buttons answer">
        <Button kind="good" icon="check" busy={busy} onClick={() => void run(() => day.accept(a))}>{words.accept}</Button>
        <Button kind="plain" icon="clock" onClick={() => open("propose")}>{words.propose}</Button>
        <Button kind="bare" onClick={() => open("decline")}>{words.decline}</Button>
      </div>
      {sheet === "decline" && <Ending title={words.declineTitle(a.client.name)} go={words.decline} end={(why) => day.decline(a, why)} onClose={() => open("")} />}
      {sheet === "propose" && <Propose a={a} onClose={() => open("")} />}
    </li>
  );
}

/** Who, when, what about and what it is worth. */
function What(p: { a: Appointment }) {
  const { a } = p;
  return (
    <div class="row top">
      <Avatar name={a.client.name} />
      <div class="grow">
        <strong class="block">{whenFirst(a.starts_at)}</strong>
        <span class="block">{words.withWhom(a.client.name, length(a.seconds))}</span>
        {a.topic && <span class="block soft">{t.app.call.about(a.topic)}</span>}
        <span class="block soft">{words.costs(money(a.cost, a.price.currency))} {words.modes[a.mode]}</span>
      </div>
    </div>
  );
}

function Ending(p: { title: string; go: string; end: (reason: string) => Promise<void>; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const { busy, problem, run } = useAct();
  const go = async () => {
    if (await run(() => p.end(reason.trim()))) p.onClose();
  };
  return (
    <Ask title={p.title} kind="bad" go={p.go} busy={busy} onGo={() => void go()} onClose={p.onClose}>
      <Area label={words.reason} hint={words.reasonHint} maxLength={200} value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
      <Trouble problem={problem} />
    </Ask>
  );
}

const suggestions = 6;

function Propose(p: { a: Appointment; onClose: () => void }) {
  const { a } = p;
  const [free, setFree] = useState<Date[] | null>(null);
  const [at, setAt] = useState("");
  const { busy, problem, run } = useAct();
  const looking = useAct();
  useEffect(() => void looking.run(async () => setFree(await day.freeTimes(a, suggestions))), [a.id]);
  const go = async () => {
    if (at && (await run(() => day.propose(a, new Date(at))))) p.onClose();
  };
  return (
    <Ask title={words.proposeTitle(a.client.name)} go={words.proposeGo} busy={busy} onGo={() => void go()} onClose={p.onClose}>
      <p class="soft">{words.asked(when(a.starts_at))}</p>
      <fieldset class="picks">
        <legend>{words.freeTimes}</legend>
        {!free && !looking.problem && <p class="soft">{t.common.wait}</p>}
        {free?.length === 0 && <p class="soft">{words.noFree}</p>}
        {free?.map((date) => (
          <label key={date.getTime()} class="pick">
            <input type="radio" name="free" checked={at === local(date)} onChange={() => setAt(local(date))} />
            <span>{whenFirst(date)}</span>
          </label>
        ))}
      </fieldset>
      <Trouble problem={looking.problem} />
      <Field label={words.otherTime} type="datetime-local" value={at} min={local(new Date())} onInput={(e) => setAt(e.currentTarget.value)} />
      <Trouble problem={problem} />
    </Ask>
  );
}

/** A moment by this device's clock, as <input type="datetime-local"> has it. */
const local = (at: Date) => new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** Today and what comes then. */
export function Agreed() {
  return (
    <Card title={words.title}>
      <Loaded of={day.appointments}>
        {() => {
          const list = day.agreed.value;
          const today = list.filter((a) => isToday(a.starts_at));
          const later = list.filter((a) => !isToday(a.starts_at));
          return (
            <>
              <h3>{words.today}</h3>
              {today.length ? <List of={today} /> : <p class="soft">{words.noneToday}</p>}
              {later.length > 0 && <h3>{words.later}</h3>}
              {later.length > 0 && <List of={later} />}
            </>
          );
        }}
      </Loaded>
    </Card>
  );
}

const isToday = (at: string) => new Date(at).toDateString() === new Date().toDateString();

const List = (p: { of: Appointment[] }) => <ul class="list">{p.of.map((a) => <Meeting key={a.id} a={a} />)}</ul>;

function Meeting(p: { a: Appointment }) {
  const { a } = p;
  const [cancelling, cancel] = useState(false);
  const begun = a.state === "calling";
  return (
    <li class="stack">
      <What a={a} />
      <div class="buttons">
        <Chip tone={a.state === "proposed" ? "warn" : "good"}>{words.states[a.state as keyof typeof words.states] ?? a.state}</Chip>
        {!begun && <Button kind="bare" onClick={() => cancel(true)}>{words.cancel}<span class="unseen"> {when(a.starts_at)}</span></Button>}
      </div>
      {cancelling && <Ending title={words.cancelTitle(a.client.name)} go={words.cancel} end={(why) => day.cancel(a, why)} onClose={() => cancel(false)} />}
    </li>
  );
}
