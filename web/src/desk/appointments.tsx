import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { length, money, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip } from "../ui/ui";
import { api, useAct, useLook } from "./model";
import { Page, Select, Table, To, Trouble } from "./parts";

type Appointment = Schema["Appointment"];

const words = t.desk.appointments;
const many = 50;
const tones: Partial<Record<Appointment["state"], "good" | "warn" | "bad">> = {
  asked: "warn", proposed: "warn", accepted: "good", calling: "good", open: "good", kept: "good",
  client_no_show: "bad", advisor_no_show: "bad", no_funds: "bad", missed: "bad",
};

/** Appointments that come, or all there were. */
export function Appointments() {
  const [coming, choose] = useState("coming");
  const [older, setOlder] = useState<Appointment[]>([]);
  const ask = (before?: string) =>
    api().get("/v1/appointments", { query: { limit: many, ...(coming ? { coming: true } : {}), ...(before ? { before } : {}) } });
  const look = useLook(() => ask(), ["appointment."], [coming]);
  const first = look.value?.appointments ?? [];
  const list = [...first, ...older.filter((a) => !first.some((b) => b.id === a.id))];
  const shown = coming ? [...list].sort((a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at)) : list;
  const { act, busy, problem } = useAct();
  const more = async () => {
    const last = list.at(-1)?.id;
    const page = last && (await act(["more", last], () => ask(last)));
    if (page) setOlder([...older, ...page.appointments]);
  };
  return (
    <Page title={t.desk.pages.appointments}>
      <Trouble problem={look.problem ?? problem} again={look.again} />
      <Card title={coming ? words.coming : words.all}>
        <div class="fields">
          <Select label={t.desk.numbers.show} value={coming} options={[["coming", words.coming], ["", words.all]]} onChange={(v) => (choose(v), setOlder([]))} />
        </div>
        {look.value && (
          <Table
            name={t.desk.pages.appointments}
            rows={shown}
            id={(a) => a.id}
            empty={coming ? words.none : words.never}
            columns={[
              { name: t.desk.at, cell: (a) => <span title={a.zone}>{whenFirst(a.starts_at)}</span> },
              { name: words.length, cell: (a) => length(a.seconds) },
              { name: t.desk.parties.client, cell: (a) => <To to={`clients/${a.client.id}`}>{a.client.name}</To> },
              { name: t.desk.parties.advisor, cell: (a) => <To to={`advisors/${a.advisor.id}`}>{a.advisor.name}</To> },
              { name: words.mode, cell: (a) => words.modes[a.mode] },
              { name: words.state, cell: (a) => <State of={a} /> },
              { name: t.desk.live.held, end: true, cell: (a) => (a.held ? money(a.held, a.price.currency) : "–") },
              { name: words.cost, end: true, cell: (a) => money(a.cost, a.price.currency) },
            ]}
          />
        )}
        {first.length === many && list.length % many === 0 && <Button kind="plain" busy={busy} onClick={() => void more()}>{t.desk.more}</Button>}
      </Card>
    </Page>
  );
}

/** How it stands, and why, where somebody said so. */
function State(p: { of: Appointment }) {
  const { state, changes, calls } = p.of;
  const reason = changes.at(-1)?.reason;
  const tone = tones[state];
  return (
    <>
      <Chip {...(tone && { tone })}>{words.states[state]}</Chip>
      {reason && <span class="soft"> {reason}</span>}
      {calls.length > 0 && (
        <>
          {" "}
          <To to={`calls/${calls.at(-1)}`}>{words.call}</To>
        </>
      )}
    </>
  );
}
