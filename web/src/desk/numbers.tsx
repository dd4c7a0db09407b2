import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { number, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip } from "../ui/ui";
import { api, useAct, useEvery, useLook } from "./model";
import { Page, Select, Table, To, Trouble } from "./parts";

type Number = Schema["Number"];

const states: Number["state"][] = ["lent", "quarantine", "free"];
const expires = 20_000; // ms; that a loan is over by its time is told by no event

export function Numbers() {
  const look = useLook(() => api().get("/v1/numbers"), ["talk.", "queue.", "appointment.", "plan."]);
  const advisors = useLook(() => api().get("/v1/advisors", { query: { limit: 500 } }), []);
  useEvery(expires, look.again);
  const [state, choose] = useState("");
  const { act, problem } = useAct();
  const all = look.value?.numbers ?? [];
  const of = (s: string) => all.filter((n) => n.state === s);
  const shown = states.filter((s) => !state || s === state).flatMap(of);
  const name = (id: string) => advisors.value?.advisors.find((a) => a.id === id)?.name ?? id;
  const takeBack = async (n: Number) => {
    if (!n.loan) return;
    await act(["take back", n.loan], () => api().delete("/v1/loans/{id}", { path: { id: n.loan ?? "" } }));
    look.again();
  };
  return (
    <Page title={t.desk.pages.numbers} aside={look.value && <Chip>{t.desk.numbers.ofPlan(look.value.plan)}</Chip>}>
      <Trouble problem={look.problem ?? problem} again={look.again} />
      <Card title={t.desk.numbers.title}>
        <div class="fields">
          <Select
            label={t.desk.numbers.show}
            value={state}
            options={[["", t.desk.numbers.all(all.length)], ...states.map((s): [string, string] => [s, `${t.desk.numbers.states[s]} (${of(s).length})`])]}
            onChange={choose}
          />
        </div>
        {look.value && (
          <Table
            name={t.desk.numbers.title}
            rows={shown}
            id={(n) => n.number}
            empty={t.desk.numbers.none}
            columns={[
              { name: t.desk.numbers.number, cell: (n) => <span class="digits">{number(n.number)}</span> },
              { name: t.desk.numbers.country, cell: (n) => n.country },
              { name: t.desk.numbers.state, cell: (n) => <Chip tone={n.state === "free" ? "good" : "warn"}>{t.desk.numbers.states[n.state]}</Chip> },
              { name: t.desk.parties.client, cell: (n) => (n.client ? <To to={`clients/${n.client}`}>{t.desk.numbers.client}</To> : "–") },
              { name: t.desk.parties.advisor, cell: (n) => (n.advisor ? <To to={`advisors/${n.advisor}`}>{name(n.advisor)}</To> : "–") },
              { name: t.desk.numbers.until, cell: (n) => (n.until ? whenFirst(n.until) : "–") },
              {
                name: t.desk.plan.doIt,
                unnamed: true,
                end: true,
                cell: (n) =>
                  n.state === "lent" && (
                    <Button kind="bare" onClick={() => void takeBack(n)}>
                      {t.desk.numbers.takeBack} <span class="unseen">{number(n.number)}</span>
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Card>
    </Page>
  );
}
