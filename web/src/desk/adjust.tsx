import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { money, when, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Chip, Field, Notice } from "../ui/ui";
import { api, done, useAct } from "./model";
import { Dialog, Form, Select, Table, To, Trouble } from "./parts";

type Adjustment = Schema["Adjustment"];
const words = t.desk.money;

/** What an adjustment is asked of. */
export interface Asked {
  kind: Adjustment["kind"];
  currency: string;
  client?: string;
  call?: string;
  whom: string;
  most?: number; // of a refund, in minor units
}

const digits = (currency: string) => new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;

/** Minor units of what is written, such as 12.50 or 12,50; null where it is no amount. */
export function amountOf(written: string, currency: string): number | null {
  const plain = written.trim().replace(",", ".");
  if (!/^-?\d+(\.\d+)?$/.test(plain)) return null;
  const amount = Number(plain) * 10 ** digits(currency);
  return Math.abs(amount - Math.round(amount)) < 1e-6 ? Math.round(amount) : null;
}

/** Asks for a refund, a correction or a payout, and says what has become of it. */
export function Adjust(p: { of: Asked; onDone: () => void }) {
  const { currency, most } = p.of;
  const [kind, choose] = useState(p.of.kind);
  const [written, write] = useState(most === undefined ? "" : (most / 10 ** digits(currency)).toFixed(digits(currency)));
  const [from, payBy] = useState<"platform" | "advisor">("platform");
  const [reason, explain] = useState("");
  const [result, set] = useState<Adjustment | null>(null);
  const { act, busy, problem } = useAct();
  const amount = amountOf(written, currency);
  const fits = amount !== null && amount !== 0 && (kind === "adjustment" || amount > 0) && reason.trim().length >= 3;
  const send = async () => {
    if (amount === null || !fits) return;
    const { client, call } = p.of;
    const body: Schema["AdjustmentBody"] = { kind, amount, reason: reason.trim(), ...(call ? { call, from } : {}), ...(client ? { client } : {}) };
    const made = await act(body, (key) => api().post("/v1/adjustments", { body, key }));
    if (!made) return;
    set(made);
    done("adjustment.asked");
  };
  if (result) {
    return (
      <Dialog title={words.titles[result.kind]} onClose={p.onDone}>
        <Notice tone={result.state === "made" ? "good" : "warn"}>{result.state === "made" ? words.made(money(result.amount, result.currency)) : words.asked(result.until ? when(result.until) : "")}</Notice>
        <div class="actions"><Button onClick={p.onDone}>{t.common.done}</Button></div>
      </Dialog>
    );
  }
  return (
    <Dialog title={words.titles[p.of.kind]} onClose={p.onDone}>
      <p>{words.forWhom(p.of.whom)}</p>
      <Trouble problem={problem} />
      <Form onSend={() => void send()}>
        {!p.of.call && (
          <Select label={words.kind} value={kind} options={[["adjustment", words.kinds.adjustment], ["payout", words.kinds.payout]]} onChange={(k) => choose(k as Adjustment["kind"])} />
        )}
        <Field label={words.amountIn(currency)} inputMode="decimal" value={written} onInput={(e) => write(e.currentTarget.value)} aria-invalid={written !== "" && amount === null} />
        {!p.of.call && kind === "adjustment" && <p class="soft">{words.sign}</p>}
        {p.of.call && <Select label={words.paidBy} value={from} options={[["platform", words.platform], ["advisor", t.desk.parties.advisor]]} onChange={(f) => payBy(f as "platform" | "advisor")} />}
        <Field label={t.desk.reason} maxLength={500} value={reason} onInput={(e) => explain(e.currentTarget.value)} />
        <div class="actions">
          <Button kind="plain" onClick={p.onDone}>{t.common.cancel}</Button>
          <Button busy={busy} off={!fits} onClick={() => void send()}>{words.send[kind]}</Button>
        </div>
      </Form>
    </Dialog>
  );
}

const tones = { asked: "warn", made: "good", refused: "bad", expired: "bad" } as const;

export function AdjustmentTable(p: { list: Adjustment[] }) {
  return (
    <Table
      name={t.desk.pages.money}
      rows={p.list}
      id={(a) => a.id}
      empty={words.none}
      columns={[
        { name: t.desk.at, cell: (a) => whenFirst(a.asked_at) },
        { name: words.kind, cell: (a) => words.kinds[a.kind] },
        { name: words.state, cell: (a) => <Chip tone={tones[a.state]}>{words.states[a.state]}</Chip> },
        { name: words.about, cell: (a) => <About of={a} /> },
        { name: t.desk.reason, cell: (a) => a.reason },
        { name: t.desk.who, cell: (a) => (a.decided_by ? `${a.asked_by}, ${a.decided_by}` : a.asked_by) },
        { name: words.amount, end: true, cell: (a) => money(a.amount, a.currency) },
      ]}
    />
  );
}

export function About(p: { of: Adjustment }) {
  const { call, client, advisor } = p.of;
  if (call) return <To to={`calls/${call}`}>{words.aCall}</To>;
  if (client) return <To to={`clients/${client}`}>{t.desk.parties.client}</To>;
  return advisor ? <To to={`advisors/${advisor}`}>{t.desk.parties.advisor}</To> : <>–</>;
}
