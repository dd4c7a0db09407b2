import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { length, money, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Field } from "../ui/ui";
import { type Asked, Adjust, AdjustmentTable } from "./adjust";
import { api, useAct, useLook } from "./model";
import { Facts, Page, Table, To, Trouble } from "./parts";

const words = t.desk.clients;
const many = 50;

export function Clients() {
  const [query, write] = useState("");
  const [older, setOlder] = useState<Schema["Client"][]>([]);
  const typed = query.trim();
  const by = typed.startsWith("+") ? (/^\+[1-9]\d{6,14}$/.test(typed.replace(/\s/g, "")) ? { phone: typed.replace(/\s/g, "") } : {}) : typed ? { alias: typed } : {};
  const ask = (before?: string) => api().get("/v1/clients", { query: { ...by, limit: many, ...(before ? { before } : {}) } });
  const look = useLook(() => ask(), ["client.", "deposit.", "call.ended", "adjustment."], [JSON.stringify(by)]);
  const { act, busy, problem } = useAct();
  const list = [...(look.value?.clients ?? []), ...older];
  const more = async () => {
    const last = list.at(-1)?.id;
    const page = await act(["more", last], () => ask(last));
    if (page) setOlder([...older, ...page.clients]);
  };
  const full = (older.length || look.value?.clients.length || 0) % many === 0 && list.length > 0;
  return (
    <Page title={t.desk.pages.clients}>
      <Card>
        <Field label={words.search} type="search" value={query} onInput={(e) => (write(e.currentTarget.value), setOlder([]))} />
        <Trouble problem={look.problem ?? problem} again={look.again} />
        {look.value && (
          <Table
            name={t.desk.pages.clients}
            rows={list}
            id={(c) => c.id}
            empty={words.none}
            columns={[
              { name: words.alias, cell: (c) => <To to={`clients/${c.id}`}>{c.alias}</To> },
              { name: words.phone, cell: (c) => <span class="digits">{c.phone}</span> },
              { name: words.available, end: true, cell: (c) => money(c.available, c.currency) },
              { name: t.desk.live.held, end: true, cell: (c) => money(c.held, c.currency) },
            ]}
          />
        )}
        {full && <Button kind="plain" busy={busy} onClick={() => void more()}>{t.desk.more}</Button>}
      </Card>
    </Page>
  );
}

export function Client(p: { id: string }) {
  const path = { id: p.id };
  const told = ["client.", "deposit.", "payment.", "call.", "adjustment."];
  const look = useLook(() => api().get("/v1/clients/{id}", { path }), told, [p.id]);
  const caps = useLook(() => api().get("/v1/clients/{id}/caps", { path }), told, [p.id]);
  const receipts = useLook(() => api().get("/v1/clients/{id}/receipts", { path, query: { limit: 50 } }), told, [p.id]);
  const moved = useLook(() => api().get("/v1/adjustments", { query: { client: p.id } }), ["adjustment."], [p.id]);
  const [asking, ask] = useState<Asked | null>(null);
  const c = look.value;
  const cap = (of: Schema["Cap"]) => (of.amount === undefined || !c ? words.noCap : words.cap(money(of.charged, c.currency), money(of.amount, c.currency)));
  return (
    <Page
      title={c?.alias ?? t.desk.pages.clients}
      aside={
        c && (
          <Button kind="plain" icon="wallet" onClick={() => ask({ kind: "adjustment", currency: c.currency, client: c.id, whom: c.alias })}>
            {words.adjust}
          </Button>
        )
      }
    >
      <Trouble problem={look.problem} again={look.again} />
      {c && (
        <Card title={words.balance}>
          <Facts
            of={[
              [words.available, money(c.available, c.currency)],
              [t.desk.live.held, money(c.held, c.currency)],
              [words.phone, c.phone],
              ...(caps.value ? ([[words.day, cap(caps.value.day)], [words.week, cap(caps.value.week)]] as [string, string][]) : []),
            ]}
          />
        </Card>
      )}
      <Card title={words.receipts}>
        <Trouble problem={receipts.problem} again={receipts.again} />
        {receipts.value && c && (
          <Table
            name={words.receipts}
            rows={receipts.value.receipts}
            id={(r) => r.call}
            empty={words.noReceipts}
            columns={[
              { name: t.desk.began, cell: (r) => <To to={`calls/${r.call}`}>{whenFirst(r.started_at)}</To> },
              { name: t.desk.parties.advisor, cell: (r) => r.advisor.name },
              { name: t.desk.outcome, cell: (r) => r.outcome ?? t.desk.live.upNow },
              { name: t.desk.live.talked, end: true, cell: (r) => length(r.seconds) },
              { name: t.desk.charge, end: true, cell: (r) => money(r.charge, c.currency) },
              { name: t.desk.call.refunded, end: true, cell: (r) => (r.refunded ? money(r.refunded, c.currency) : "–") },
            ]}
          />
        )}
      </Card>
      <Card title={t.desk.pages.money}>{moved.value && <AdjustmentTable list={moved.value.adjustments} />}</Card>
      {asking && <Adjust of={asking} onDone={() => (ask(null), moved.again(), look.again())} />}
    </Page>
  );
}
