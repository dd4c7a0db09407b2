import { useEffect, useMemo, useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { length, money, time, when } from "../lib/format";
import { language, t } from "../texts";
import { Button, Card, Notice, Wait } from "../ui/ui";
import { AddMoney } from "./add-money";
import * as model from "./model";
import { Choose, Hinted, Place, Said } from "./parts";
import { counted } from "./price";
import { go, to } from "./route";
import { plainTopic } from "./talk";

const words = t.client.time;

const lengths = [5, 10, 20, 30]; // min
const steps = 15; // min, between the times that are offered
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** An instant with the offset that the reader's clocks have then: 2026-10-25T14:00:00+01:00. */
function withOffset(at: Date): string {
  const two = (n: number) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  const off = -at.getTimezoneOffset();
  const local = new Date(at.getTime() + off * 60_000).toISOString().slice(0, 19);
  return `${local}${off < 0 ? "-" : "+"}${two(off / 60)}:${two(off % 60)}`;
}

/** The beginnings that stretches of free time leave, by their day. */
function beginnings(free: Schema["FreeTime"][], seconds: number): Map<string, Date[]> {
  const days = new Map<string, Date[]>();
  const step = steps * 60_000;
  for (const f of free) {
    const last = Date.parse(f.to) - seconds * 1000;
    for (let at = Math.ceil((Date.parse(f.from) + 60_000) / step) * step; at <= last; at += step) {
      const begins = new Date(at);
      const day = begins.toDateString();
      days.set(day, [...(days.get(day) ?? []), begins]);
    }
  }
  return days;
}

/** Choosing a time for an appointment. */
export function TimePage(p: { advisor: string }) {
  const advisor = model.advisors.value?.find((a) => a.id === p.advisor);
  const [minutes, setMinutes] = useState(10);
  const [mode, setMode] = useState<"host_calls" | "dial_in">("host_calls");
  const [topic, setTopic] = useState("");
  const [free, setFree] = useState<Schema["FreeTime"][] | null>(null);
  const [day, setDay] = useState("");
  const [at, setAt] = useState(0);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [asking, setAsking] = useState(false);
  const [asked, setAsked] = useState<Schema["Appointment"] | null>(null);
  const seconds = minutes * 60;

  const look = () =>
    model.api().get("/v1/advisors/{id}/free-times", { path: { id: p.advisor }, query: { seconds, zone } }).then(
      (a) => setFree(a.free),
      (e) => setProblem(model.asProblem(e)),
    );
  useEffect(() => void look(), [p.advisor, minutes]);

  const days = useMemo(() => beginnings(free ?? [], seconds), [free, seconds]);
  const shown = days.has(day) ? day : ([...days.keys()][0] ?? "");
  const times = days.get(shown) ?? [];
  const chosen = times.find((x) => x.getTime() === at);

  const ask = async () => {
    if (!chosen) return;
    setAsking(true);
    setProblem(null);
    const said = plainTopic(topic);
    try {
      const made = await model.api().post("/v1/appointments", {
        body: { advisor: p.advisor, starts_at: withOffset(chosen), zone, seconds, mode, ...(said && { topic: said }) },
      });
      await model.lookAtAppointments();
      setAsked(made);
    } catch (e) {
      const refused = model.asProblem(e);
      setProblem(refused);
      if (refused.code === "appointment_taken") await look();
    }
    setAsking(false);
  };

  const back = { to: to.advisor(p.advisor), name: advisor?.name ?? t.client.nav.back };
  const title = words.title(advisor?.name ?? "");
  if (asked) {
    return (
      <Place title={title} back={back}>
        <Notice tone="good">{words.asked(when(asked.starts_at))}</Notice>
        <Button full onClick={() => go(to.account)}>{t.client.nav.toAccount}</Button>
      </Place>
    );
  }
  const cost = advisor ? advisor.price.fee + Math.ceil((counted(advisor.price, seconds) * advisor.price.per_minute) / 60) : 0;
  const short = problem?.code === "no_funds";
  return (
    <Place title={title} back={back}>
      <Card>
        <Choose label={words.length} value={minutes} onChange={setMinutes} options={lengths.map((n) => ({ value: n, name: length(n * 60) }))} />
        <Choose
          label={words.how}
          value={mode}
          onChange={setMode}
          options={[
            { value: "host_calls" as const, name: words.hostCalls, hint: words.hostCallsHint },
            { value: "dial_in" as const, name: words.dialIn, hint: words.dialInHint },
          ]}
        />
      </Card>
      <Card>
        {!free && !problem && <p class="row soft"><Wait /> {t.common.wait}</p>}
        {free && !days.size && <p role="status">{words.none}</p>}
        {days.size > 0 && (
          <>
            <Choose label={words.day} value={shown} onChange={setDay} options={[...days.keys()].map((d) => ({ value: d, name: dayName(d) }))} />
            <div class="scroll" tabIndex={-1}>
              <Choose label={words.at} value={at} onChange={setAt} options={times.map((x) => ({ value: x.getTime(), name: time(x) }))} />
            </div>
            <p class="soft">{words.zone(zone.replace(/_/g, " "))}</p>
          </>
        )}
        <Hinted label={words.topic} hint={t.client.advisor.topicHint} maxLength={80} value={topic} onInput={(e) => setTopic(e.currentTarget.value)} />
      </Card>
      {problem && <Said problem={problem} />}
      {short && (
        <Card title={t.client.money.title}>
          <AddMoney missing={problem.said.missing ?? 0} done={() => void ask()} />
        </Card>
      )}
      {advisor && <p class="soft">{words.cost(money(cost, advisor.price.currency))}</p>}
      <Button full icon="calendar" busy={asking || !chosen} onClick={() => void ask()}>
        {chosen ? words.ask(when(chosen)) : words.choose}
      </Button>
    </Place>
  );
}

const dayName = (day: string) => new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short" }).format(new Date(day));
