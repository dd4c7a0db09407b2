import { useEffect, useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { length, money, when, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Button, Card, Notice } from "../ui/ui";
import { AddMoney } from "./add-money";
import { AppointmentCard } from "./appointments";
import * as model from "./model";
import { Now } from "./now";
import { Hinted, Place, Said } from "./parts";
import { minor, parse } from "./price";
import { to } from "./route";

const words = t.client.account;

/** All that is the client's own. */
export function Account() {
  const up = model.connection.value === "up";
  useEffect(() => void Promise.all([model.lookAtMe(), model.lookAtReceipts(), model.lookAtCaps(), model.lookAtAppointments()]), [up]);
  const me = model.me.value;
  return (
    <Place title={words.title} back={{ to: to.advisors, name: t.client.nav.back }} wide>
      {model.waits.value.length > 0 && <Now waitsOnly />}
      <div class="stack">
        {me && (
          <Card title={words.balance}>
            <p class="balance digits">{money(me.available, me.currency)}</p>
            {me.held > 0 && <p class="soft">{words.held(money(me.held, me.currency))}</p>}
            <AddMoney />
          </Card>
        )}
        <Receipts />
      </div>
      <div class="stack">
        <section class="stack" aria-labelledby="appointments">
          <h2 id="appointments">{t.client.appointment.title}</h2>
          {model.appointments.value.length === 0 && <p class="soft">{t.client.appointment.none}</p>}
          {model.appointments.value.map((a) => <AppointmentCard key={a.id} appointment={a} />)}
        </section>
        <Caps />
        <div class="stack small">
          {me && <p class="soft">{words.alias(me.alias)} {words.phone(me.phone)}</p>}
          <Button kind="plain" icon="signout" full onClick={() => void model.signOut()}>{t.common.signOut}</Button>
        </div>
      </div>
    </Place>
  );
}

function Receipts() {
  const list = model.receipts.value;
  const [more, setMore] = useState(true);
  const show = async () => {
    const before = list?.length ?? 0;
    await model.moreReceipts();
    setMore((model.receipts.value?.length ?? 0) - before === model.receiptsAtOnce);
  };
  return (
    <Card title={words.receipts}>
      {list?.length === 0 && <p class="soft">{words.noReceipts}</p>}
      {list && list.length > 0 && (
        <ul class="list">
          {list.map((r) => (
            <li key={r.call}>
              <a class="row between line" href={to.receipt(r.call)}>
                <span class="grow">
                  <strong>{r.advisor.name}</strong>
                  <br />
                  <span class="soft">
                    {whenFirst(r.started_at)}, {length(Math.round(r.seconds))}
                  </span>
                </span>
                <span class="digits">{money(r.charge - r.refunded, r.price?.currency ?? model.currency.value)}</span>
                <Icon name="next" />
              </a>
            </li>
          ))}
        </ul>
      )}
      {list && more && list.length >= model.receiptsAtOnce && <Button kind="plain" onClick={() => void show()}>{words.more}</Button>}
    </Card>
  );
}

type Cap = Schema["Caps"]["day"];

function Caps() {
  const caps = model.caps.value;
  return caps && <CapsForm caps={caps} />;
}

function CapsForm(p: { caps: Schema["Caps"] }) {
  const { currency } = p.caps;
  const written = (cap: Cap) => {
    const amount = cap.next ? cap.next.amount : cap.amount;
    return amount === undefined ? "" : String(amount / minor(currency));
  };
  const [day, setDay] = useState(written(p.caps.day));
  const [week, setWeek] = useState(written(p.caps.week));
  const [state, become] = useState<"" | "saving" | "saved" | "bad">("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const save = async () => {
    const [d, w] = [day, week].map((text) => (text.trim() ? parse(text, currency) : undefined));
    if (d === null || w === null) return become("bad");
    become("saving");
    setProblem(null);
    try {
      const body = { ...(d !== undefined && { day: d }), ...(w !== undefined && { week: w }) };
      model.caps.value = await model.api().put("/v1/clients/{id}/caps", { path: { id: model.session.owner.value }, body });
      become("saved");
    } catch (e) {
      setProblem(model.asProblem(e));
      become("");
    }
  };
  const hint = (cap: Cap) => {
    const amount = (n: number | undefined) => (n === undefined ? words.noCap : money(n, currency));
    const parts = [amount(cap.amount)];
    if (cap.amount !== undefined) parts.push(words.spent(money(cap.charged, currency)));
    if (cap.next) parts.push(words.next(amount(cap.next.amount), when(cap.next.from)));
    return parts.join(" · ");
  };
  return (
    <Card title={words.caps}>
      <p class="soft">{words.capsHint}</p>
      <form
        class="stack"
        onSubmit={(e) => {
          e.preventDefault();
          void save();
        }}
      >
        <Hinted label={words.day} hint={hint(p.caps.day)} inputMode="decimal" autocomplete="off" value={day} onInput={(e) => setDay(e.currentTarget.value)} />
        <Hinted label={words.week} hint={hint(p.caps.week)} inputMode="decimal" autocomplete="off" value={week} onInput={(e) => setWeek(e.currentTarget.value)} />
        {state === "bad" && <Notice tone="bad">{words.badAmount}</Notice>}
        {problem && <Said problem={problem} />}
        {state === "saved" && <Notice tone="good">{words.saved}</Notice>}
        <Button kind="plain" full busy={state === "saving"} onClick={() => void save()}>{words.save}</Button>
      </form>
    </Card>
  );
}
