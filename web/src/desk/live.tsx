import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { clock, length, money, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip, Field, Notice } from "../ui/ui";
import { api, now, useAct, useEvery, useLook } from "./model";
import { Spark } from "./plot";
import { Dialog, Form, Page, Table, To, Trouble, who } from "./parts";

type Call = Schema["Call"];

const told = 3_000; // ms; no event tells of a step, such as ringing

export function LiveCalls() {
  const live = useLook(() => api().get("/v1/calls", { query: { state: "live" } }), ["call."]);
  const last = useLook(() => api().get("/v1/calls", { query: { limit: 15 } }), ["call.ended", "call.opened"]);
  useEvery(told, live.again);
  const [ending, end] = useState<Call | null>(null);
  const [asked, ask] = useState("");
  const calls = live.value?.calls ?? [];
  return (
    <Page title={t.desk.pages.live} aside={<Chip>{t.desk.live.count(calls.length)}</Chip>}>
      <Trouble problem={live.problem} again={live.again} />
      {asked && calls.some((c) => c.id === asked) && <Notice tone="info">{t.desk.live.endAsked}</Notice>}
      <Day />
      <Card title={t.desk.live.up}>
        {live.value && <Live calls={calls} at={live.at} onEnd={end} />}
      </Card>
      <Card title={t.desk.live.last}>
        <Trouble problem={last.problem} again={last.again} />
        {last.value && <CallTable calls={last.value.calls.filter((c) => c.state === "ended")} name={t.desk.live.last} />}
      </Card>
      {ending && <EndCall call={ending} onDone={(sent) => (end(null), sent && (ask(ending.id), live.again()))} />}
    </Page>
  );
}

const turns = 60_000; // ms; an hour begins without an event

/** The day in one glance: the calls of each hour. */
function Day() {
  const look = useLook(() => api().get("/v1/statistics"), ["call.ended"]);
  useEvery(turns, look.again);
  const { hours = [], currency = "EUR" } = look.value ?? {};
  if (!hours.length) return null;
  const sum = (of: (h: (typeof hours)[number]) => number) => hours.reduce((all, h) => all + of(h), 0);
  const calls = sum((h) => h.calls);
  return (
    <a class="card day" href="#/figures">
      <span>
        <span class="soft">{t.desk.figures.day}</span>
        <strong>{calls ? t.desk.figures.inAll(calls, sum((h) => h.answered)) : t.desk.figures.noneYet}</strong>
        <span>{t.desk.figures.moneyInAll(money(sum((h) => h.captured), currency), money(sum((h) => h.held), currency))}</span>
      </span>
      <Spark values={hours.map((h) => h.calls)} />
    </a>
  );
}

export const names = (c: Call) => `${who(c.client, c.kind === "verification" ? t.desk.live.verification : t.desk.live.unknown)} → ${who(c.advisor, "–")}`;
const held = (c: Call) => (c.currency ? money(c.held, c.currency) : "–");

function Live(p: { calls: Call[]; at: number; onEnd: (c: Call) => void }) {
  const since = Math.max(0, now.value - p.at) / 1000; // seconds; by this clock alone, which may be wrong
  const talked = (c: Call) => c.seconds + (c.live?.talking_since ? since : 0);
  const left = (c: Call) => (c.live?.until ? Math.max(0, (c.live.seconds_left ?? 0) - since) : null);
  return (
    <Table
      name={t.desk.live.up}
      rows={p.calls}
      id={(c) => c.id}
      empty={t.desk.live.none}
      columns={[
        { name: t.desk.live.who, cell: (c) => (c.client || c.advisor ? <To to={`calls/${c.id}`}>{names(c)}</To> : `${t.desk.live.unknown} ${c.from ?? ""}`) },
        { name: t.desk.live.step, cell: (c) => <Step call={c} /> },
        { name: t.desk.live.legs, cell: (c) => <Legs call={c} /> },
        { name: t.desk.live.held, end: true, cell: held },
        { name: t.desk.live.talked, end: true, cell: (c) => clock(talked(c) * 1000) },
        { name: t.desk.live.left, end: true, cell: (c) => { const l = left(c); return l === null ? "–" : <span class={l < 60 ? "ends" : ""}>{clock(l * 1000)}</span>; } },
        {
          name: t.desk.live.end,
          unnamed: true,
          end: true,
          cell: (c) => (
            <Button kind="plain" icon="hangup" onClick={() => p.onEnd(c)}>
              {t.desk.live.end} <span class="unseen">{names(c)}</span>
            </Button>
          ),
        },
      ]}
    />
  );
}

function Step(p: { call: Call }) {
  const step = p.call.live?.step ?? "elsewhere";
  const words = (t.desk.live.steps as Record<string, string>)[step] ?? step;
  return <Chip tone={step === "talking" ? "good" : step === "reconnecting" ? "bad" : "warn"}>{words}</Chip>;
}

function Legs(p: { call: Call }) {
  const legs = p.call.live?.legs ?? [];
  if (!legs.length) return <>–</>;
  return <>{legs.map((leg) => t.desk.live.leg(t.desk.parties[leg.party], t.desk.live.legStates[leg.state])).join(", ")}</>;
}

function EndCall(p: { call: Call; onDone: (sent: boolean) => void }) {
  const [reason, write] = useState("");
  const { act, busy, problem } = useAct();
  const send = async () => {
    if (reason.trim().length < 3) return;
    const body = { reason: reason.trim() };
    const done = await act(body, (key) => api().post("/v1/calls/{id}/end", { path: { id: p.call.id }, body, key }));
    if (done) p.onDone(true);
  };
  return (
    <Dialog title={t.desk.live.endTitle} onClose={() => p.onDone(false)}>
      <p>{names(p.call)}</p>
      <p class="soft">{t.desk.live.endHint}</p>
      <Trouble problem={problem} />
      <Form onSend={() => void send()}>
        <Field label={t.desk.reason} maxLength={200} minLength={3} required value={reason} onInput={(e) => write(e.currentTarget.value)} />
        <div class="actions">
          <Button kind="plain" onClick={() => p.onDone(false)}>{t.common.cancel}</Button>
          <Button kind="bad" icon="hangup" busy={busy} off={reason.trim().length < 3} onClick={() => void send()}>{t.desk.live.endNow}</Button>
        </div>
      </Form>
    </Dialog>
  );
}

export function CallTable(p: { calls: Call[]; name: string }) {
  return (
    <Table
      name={p.name}
      rows={p.calls}
      id={(c) => c.id}
      empty={t.desk.live.noCalls}
      columns={[
        { name: t.desk.began, cell: (c) => whenFirst(c.started_at) },
        { name: t.desk.live.who, cell: (c) => <To to={`calls/${c.id}`}>{names(c)}</To> },
        { name: t.desk.outcome, cell: (c) => (c.state === "live" ? t.desk.live.upNow : (c.outcome ?? "–")) },
        { name: t.desk.live.talked, end: true, cell: (c) => length(c.seconds) },
        { name: t.desk.charge, end: true, cell: (c) => (c.currency ? money(c.charge, c.currency) : "–") },
      ]}
    />
  );
}
