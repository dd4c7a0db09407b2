import { useEffect, useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { date, when } from "../lib/format";
import { language, t } from "../texts";
import { Button, Card, Field } from "../ui/ui";
import { kept } from "./kept";
import { me, session } from "./model";
import { Choice, Done, Loaded, Trouble, useAct } from "./parts";

const words = t.app.hours;

type Hours = Required<Schema["Hours"]>;
type Span = Schema["Span"];

const week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
const usual = { from: "09:00", to: "17:00" };
const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zones = Intl.supportedValuesOf("timeZone");

const hours = kept(() => session.api.value.get("/v1/advisors/{id}/hours", { path: { id: me.value } }), /^$/);

/** When clients can call: each week, and days on which they cannot. */
export function HoursCard() {
  return (
    <Card title={words.title}>
      <Loaded of={hours}>
        {(h) => (
          <>
            {h.next_at && Date.parse(h.next_at) > Date.now() && <p class="soft">{words.next(when(h.next_at))}</p>}
            <Form before={{ zone: h.zone || here, weekly: h.weekly ?? [], closed: h.closed ?? [] }} />
          </>
        )}
      </Loaded>
    </Card>
  );
}

function Form(p: { before: Hours }) {
  const [now, setNow] = useState(p.before);
  const [saved, setSaved] = useState(false);
  const { busy, problem, run } = useAct();
  useEffect(() => setNow(p.before), [JSON.stringify(p.before)]); // set elsewhere, too
  const change = (part: Partial<Hours>) => {
    setSaved(false);
    setNow({ ...now, ...part });
  };
  const save = async () => {
    const done = await run(async () => {
      await session.api.value.put("/v1/advisors/{id}/hours", { path: { id: me.value }, body: now });
      await hours.look();
    });
    setSaved(done);
  };
  const always = now.weekly.length === 0;
  return (
    <form
      class="stack"
      onSubmit={(e) => {
        e.preventDefault();
        void save();
      }}
    >
      <Choice
        on={!always}
        label={words.weekly}
        hint={always ? words.always : words.byHours}
        onChange={(on) => change({ weekly: on ? week.slice(0, 5).map((day) => ({ day, ...usual })) : [] })}
      />
      {!always && week.map((day) => <Day key={day} day={day} spans={now.weekly} onChange={(weekly) => change({ weekly })} />)}
      <label class="field">
        {words.zone}
        <select value={now.zone} onChange={(e) => change({ zone: e.currentTarget.value })}>
          {(zones.includes(now.zone) ? zones : [now.zone, ...zones]).map((zone) => <option key={zone} value={zone}>{zone.replaceAll("_", " ")}</option>)}
        </select>
      </label>
      <Closed days={now.closed} onChange={(closed) => change({ closed })} />
      <Trouble problem={problem} />
      <Button full busy={busy} onClick={() => void save()}>{words.save}</Button>
      {saved && <Done>{t.app.saved}</Done>}
    </form>
  );
}

/** A Monday, for the names of days. */
const monday = Date.UTC(2024, 0, 1);
const dayName = (day: Span["day"]) => new Intl.DateTimeFormat(language, { weekday: "long", timeZone: "UTC" }).format(monday + week.indexOf(day) * 86_400_000);

function Day(p: { day: Span["day"]; spans: Span[]; onChange: (spans: Span[]) => void }) {
  const name = dayName(p.day);
  const own = p.spans.filter((s) => s.day === p.day);
  const set = (span: Span, part: Partial<Span>) => p.onChange(p.spans.map((s) => (s === span ? { ...s, ...part } : s)));
  return (
    <fieldset class="day">
      <legend>{name}</legend>
      <div class="spans">
        {own.length === 0 && <span class="soft">{words.none}</span>}
        {own.map((span, i) => (
          <div class="span" key={i}>
            <input type="time" required aria-label={words.from(name, i + 1)} value={span.from} onInput={(e) => e.currentTarget.value && set(span, { from: e.currentTarget.value })} />
            <span aria-hidden="true">–</span>
            <input type="time" required aria-label={words.to(name, i + 1)} value={span.to === "24:00" ? "00:00" : span.to} onInput={(e) => e.currentTarget.value && set(span, { to: e.currentTarget.value === "00:00" ? "24:00" : e.currentTarget.value })} />
            <Button kind="bare" icon="close" onClick={() => p.onChange(p.spans.filter((s) => s !== span))}>
              <span class="unseen">{words.remove(name, i + 1)}</span>
            </Button>
          </div>
        ))}
      </div>
      <Button kind="bare" icon="plus" onClick={() => p.onChange([...p.spans, { day: p.day, ...(own.length ? { from: "18:00", to: "20:00" } : usual) }])}>
        <span class="unseen">{words.add(name)}</span>
      </Button>
    </fieldset>
  );
}

function Closed(p: { days: string[]; onChange: (days: string[]) => void }) {
  const [day, setDay] = useState("");
  const add = () => {
    if (day && !p.days.includes(day)) p.onChange([...p.days, day].sort());
    setDay("");
  };
  return (
    <div class="stack">
      <div class="row end">
        <div class="grow"><Field label={words.closed} hint={words.closedHint} type="date" value={day} onInput={(e) => setDay(e.currentTarget.value)} /></div>
        <Button kind="plain" icon="plus" onClick={add}><span class="unseen">{words.addDay}</span></Button>
      </div>
      {p.days.length > 0 && (
        <ul class="buttons">
          {p.days.map((d) => (
            <li key={d}>
              <Button kind="plain" icon="close" onClick={() => p.onChange(p.days.filter((other) => other !== d))}>
                <span class="unseen">{words.open}</span> {date(d)}
              </Button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
