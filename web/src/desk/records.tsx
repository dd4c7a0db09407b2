import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip, Field } from "../ui/ui";
import { api, done, useAct, useLook } from "./model";
import { Page, Table, Trouble } from "./parts";

const words = t.desk.records;

/** The audits of the ledger, and the audit log. */
export function Records() {
  return (
    <Page title={t.desk.pages.records}>
      <Audits />
      <Log />
    </Page>
  );
}

function Audits() {
  const look = useLook(() => api().get("/v1/ledger/audits", { query: { limit: 10 } }), ["ledger."]);
  const { act, busy, problem } = useAct();
  const run = async () => {
    await act("audit", (key) => api().post("/v1/ledger/audits", { key }));
    done("ledger.audited");
  };
  const audits = look.value?.audits ?? [];
  const faults = audits[0]?.faults ?? [];
  return (
    <Card
      title={words.audits}
      aside={
        <Button kind="plain" icon="shield" busy={busy} onClick={() => void run()}>
          {busy ? words.running : words.run}
        </Button>
      }
    >
      <Trouble problem={look.problem ?? problem} />
      <Table
        name={words.audits}
        rows={audits}
        id={(a) => a.id}
        empty={look.value ? words.noAudits : t.common.wait}
        columns={[
          { name: t.desk.at, cell: (a) => whenFirst(a.at) },
          { name: t.desk.who, cell: (a) => a.by },
          { name: words.found, cell: (a) => (a.fault_count ? <Chip tone="bad" icon="alert">{t.desk.plan.faults(a.fault_count)}</Chip> : <Chip tone="good" icon="check">{t.desk.plan.noFaults}</Chip>) },
          { name: words.accounts, end: true, cell: (a) => a.accounts },
          { name: words.calls, end: true, cell: (a) => a.calls },
          { name: words.transfers, end: true, cell: (a) => a.transfers },
        ]}
      />
      {faults.length > 0 && (
        <Table
          name={words.faults}
          rows={faults}
          id={(f) => f.table + f.row + f.problem}
          empty=""
          columns={[
            { name: words.row, cell: (f) => `${f.table} ${f.row}` },
            { name: words.problem, cell: (f) => f.problem },
            { name: words.remedy, cell: (f) => f.remedy },
          ]}
        />
      )}
    </Card>
  );
}

const many = 50;

function Log() {
  const [who, setWho] = useState("");
  const [subject, setSubject] = useState("");
  const [older, setOlder] = useState<Schema["LoggedAct"][]>([]);
  const by = { ...(who.trim() ? { who: who.trim() } : {}), ...(subject.trim() ? { subject: subject.trim() } : {}) };
  const ask = (before = 0) => api().get("/v1/audit-log", { query: { ...by, limit: many, ...(before ? { before } : {}) } });
  const look = useLook(() => ask(), ["plan.", "adjustment.", "call.end_asked", "line.", "client.deleted", "advisor.deleted"], [who.trim(), subject.trim()]);
  const list = [...(look.value?.acts ?? []), ...older.filter((a) => a.id < (look.value?.acts.at(-1)?.id ?? 0))];
  const { act, busy, problem } = useAct();
  const more = async () => {
    const last = list.at(-1)?.id;
    const page = await act(["more", last], () => ask(last));
    if (page) setOlder([...older, ...page.acts]);
  };
  const narrow = (set: (text: string) => void) => (e: { currentTarget: { value: string } }) => (set(e.currentTarget.value), setOlder([]));
  return (
    <Card title={words.log}>
      <div class="fields">
        <Field label={words.byWhom} type="search" value={who} onInput={narrow(setWho)} />
        <Field label={words.ofWhat} type="search" value={subject} onInput={narrow(setSubject)} />
      </div>
      <Trouble problem={look.problem ?? problem} again={look.again} />
      {look.value && <Acts list={list} />}
      {list.length > 0 && (list.at(-1)?.id ?? 1) > 1 && list.length % many === 0 && <Button kind="plain" busy={busy} onClick={() => void more()}>{t.desk.more}</Button>}
    </Card>
  );
}

export function Acts(p: { list: Schema["LoggedAct"][] }) {
  return (
    <Table
      name={words.log}
      rows={p.list}
      id={(a) => a.id}
      empty={words.noActs}
      columns={[
        { name: t.desk.at, cell: (a) => whenFirst(a.at) },
        { name: t.desk.who, cell: (a) => a.who },
        { name: words.act, cell: (a) => a.what },
        { name: words.subject, cell: (a) => a.subject },
        { name: words.detail, cell: (a) => Object.entries(a.detail).filter(([, value]) => value).map(([name, value]) => `${name}: ${value}`).join(", ") || "–" },
      ]}
    />
  );
}
