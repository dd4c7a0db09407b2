import { useState } from "preact/hooks";
import { length, money, when, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip } from "../ui/ui";
import { type Asked, Adjust, AdjustmentTable } from "./adjust";
import { api, useLook } from "./model";
import { names } from "./live";
import { Facts, Page, Table, To, Trouble } from "./parts";
import { Acts } from "./records";

const words = t.desk.call;

/** One call, with all that explains it. */
export function Call(p: { id: string }) {
  const look = useLook(() => api().get("/v1/calls/{id}", { path: { id: p.id } }), ["call.", "adjustment."], [p.id]);
  const about = useLook(() => api().get("/v1/adjustments", { query: { call: p.id } }), ["adjustment."], [p.id]);
  const [asking, ask] = useState<Asked | null>(null);
  const c = look.value;
  if (!c) return <Page title={words.title}><Trouble problem={look.problem} again={look.again} /></Page>;
  const amount = (n: number) => (c.currency ? money(n, c.currency) : "–");
  const left = c.charge - c.refunded;
  return (
    <Page
      title={names(c)}
      aside={
        c.state === "ended" && left > 0 && c.currency ? (
          <Button kind="plain" icon="wallet" onClick={() => ask({ kind: "refund", currency: c.currency ?? "", call: c.id, whom: c.client?.name ?? "", most: left })}>
            {words.refund}
          </Button>
        ) : (
          <Chip>{c.state === "live" ? t.desk.live.upNow : c.outcome}</Chip>
        )
      }
    >
      <Trouble problem={look.problem} again={look.again} />
      <div class="beside even">
        <Card title={words.facts}>
          <Facts
            of={[
              [t.desk.began, whenFirst(c.started_at)],
              [words.ended, c.ended_at ? when(c.ended_at) : t.desk.live.upNow],
              [t.desk.outcome, c.outcome ?? "–"],
              [words.endedBy, c.ended_by ? t.desk.parties[c.ended_by] : "–"],
              [t.desk.parties.client, c.client ? <To to={`clients/${c.client.id}`}>{c.client.name}</To> : "–"],
              [t.desk.parties.advisor, c.advisor ? <To to={`advisors/${c.advisor.id}`}>{c.advisor.name}</To> : "–"],
              [words.from, c.from ?? "–"],
              [words.number, c.number ?? "–"],
              [words.plan, c.plan ?? "–"],
              [words.ring, length(c.ring_seconds)],
              [words.cause, c.cause ?? "–"],
            ]}
          />
        </Card>
        <Card title={words.money}>
          <Facts
            of={[
              [t.desk.live.talked, length(c.seconds)],
              ...(c.price ? ([[t.desk.whatIf.price, t.desk.perMinute(amount(c.price.per_minute))]] as [string, string][]) : []),
              [t.desk.live.held, amount(c.held)],
              [t.desk.charge, amount(c.charge)],
              [words.refunded, amount(c.refunded)],
            ]}
          />
        </Card>
      </div>
      <Card title={words.receipt}>
        <pre class="words" tabIndex={0} aria-label={words.receipt} role="region">
          {c.receipt}
        </pre>
      </Card>
      {about.value && about.value.adjustments.length > 0 && (
        <Card title={t.desk.pages.money}>
          <AdjustmentTable list={about.value.adjustments} />
        </Card>
      )}
      <Card title={words.holds}>
        <Table
          name={words.holds}
          rows={c.holds}
          id={(h) => h.number}
          empty={words.noHolds}
          columns={[
            { name: words.hold, cell: (h) => (h.number === 1 ? words.opening : words.topUp(h.number - 1)) },
            { name: t.desk.live.held, end: true, cell: (h) => amount(h.amount) },
            { name: words.captured, end: true, cell: (h) => amount(h.captured) },
            { name: words.released, end: true, cell: (h) => (h.resolved ? amount(h.released) : "–") },
          ]}
        />
      </Card>
      <Card title={words.transfers}>
        <Table
          name={words.transfers}
          rows={c.transfers}
          id={(m) => m.id}
          empty={words.noTransfers}
          columns={[
            { name: t.desk.at, cell: (m) => whenFirst(m.at) },
            { name: words.kind, cell: (m) => m.kind },
            { name: words.gives, cell: (m) => m.from },
            { name: words.receives, cell: (m) => m.to },
            { name: t.desk.money.amount, end: true, cell: (m) => amount(m.amount) },
          ]}
        />
      </Card>
      <Card title={words.acts}>
        <Acts list={c.acts} />
      </Card>
      {asking && <Adjust of={asking} onDone={() => (ask(null), look.again(), about.again())} />}
    </Page>
  );
}
