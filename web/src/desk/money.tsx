import type { Schema } from "../lib/api";
import { money, when } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip } from "../ui/ui";
import { About, AdjustmentTable } from "./adjust";
import { api, done, session, status, useAct, useLook } from "./model";
import { Facts, Page, Trouble } from "./parts";

const words = t.desk.money;

export function Adjustments() {
  const number = status.value?.adjustments_waiting; // no event tells that one was asked for
  const waiting = useLook(() => api().get("/v1/adjustments", { query: { state: "asked" } }), ["adjustment."], [number]);
  const all = useLook(() => api().get("/v1/adjustments"), ["adjustment."], [number]);
  const list = waiting.value?.adjustments ?? [];
  const again = () => done("adjustment.decided");
  return (
    <Page title={t.desk.pages.money}>
      <Trouble problem={waiting.problem} again={waiting.again} />
      <Card title={words.waiting} aside={<Chip tone={list.length ? "warn" : "good"}>{list.length}</Chip>}>
        {waiting.value && !list.length && <p class="soft">{words.noneWaiting}</p>}
        <ul class="list">
          {list.map((a) => (
            <Waiting key={a.id} of={a} onDone={again} />
          ))}
        </ul>
      </Card>
      <Card title={words.history}>
        <Trouble problem={all.problem} again={all.again} />
        {all.value && <AdjustmentTable list={all.value.adjustments} />}
        <p class="soft">{words.where}</p>
      </Card>
    </Page>
  );
}

function Waiting(p: { of: Schema["Adjustment"]; onDone: () => void }) {
  const { act, busy, problem } = useAct();
  const a = p.of;
  const path = { id: a.id };
  const amount = money(a.amount, a.currency);
  const own = a.asked_by === session.holder.value;
  const approve = async () => void ((await act(["approve", a.id], (key) => api().post("/v1/adjustments/{id}/approval", { path, key }))) && p.onDone());
  const refuse = async () => void ((await act(["refuse", a.id], (key) => api().post("/v1/adjustments/{id}/refusal", { path, key }))) && p.onDone());
  return (
    <li class="stack">
      <h3>
        {words.kinds[a.kind]}: {amount}
      </h3>
      <Facts
        of={[
          [words.about, <About of={a} />],
          [t.desk.reason, a.reason],
          [words.askedBy, `${a.asked_by}, ${when(a.asked_at)}`],
          [words.gives, a.from],
          [words.receives, a.to],
          ...(a.until ? ([[words.until, when(a.until)]] as [string, string][]) : []),
        ]}
      />
      <Trouble problem={problem} />
      {own && <p class="soft">{words.own}</p>}
      <div class="actions">
        <Button kind="plain" busy={busy} onClick={() => void refuse()}>
          {own ? words.takeBack : words.refuse} <span class="unseen">{amount}</span>
        </Button>
        {!own && (
          <Button kind="good" icon="check" busy={busy} onClick={() => void approve()}>
            {words.approve} <span class="unseen">{amount}</span>
          </Button>
        )}
      </div>
    </li>
  );
}
