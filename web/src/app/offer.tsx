import { useState } from "preact/hooks";
import { length, money } from "../lib/format";
import { t } from "../texts";
import { Avatar, Button, Card, Field } from "../ui/ui";
import { advisor, look, me, session } from "./model";
import { Area, Done, FileButton, Trouble, useAct } from "./parts";

const words = t.app.offer;

/** What the advisor asks for: a price, and how long a client's money must last at least. */
export function PriceCard() {
  const a = advisor.value;
  const own = a?.own;
  const [price, setPrice] = useState<string | null>(null);
  const [minutes, setMinutes] = useState<string | null>(null);
  const [saved, setSaved] = useState(false);
  const { busy, problem, run } = useAct();
  if (!a || !own) return null;
  const { bounds } = own;
  const currency = a.price.currency;
  const unit = minor(currency);
  const priceNow = price ?? (own.per_minute ? String(own.per_minute / unit) : "");
  const minutesNow = minutes ?? (own.predetermined_seconds ? String(own.predetermined_seconds / 60) : "");
  const save = async () => {
    const body = { per_minute: Math.round(Number(priceNow) * unit), predetermined_seconds: Math.round(Number(minutesNow) * 60) };
    const done = await run(async () => {
      await session.api.value.patch("/v1/advisors/{id}", { path: { id: me.value }, body });
      await look();
    });
    setSaved(done);
    if (!done) return;
    setPrice(null);
    setMinutes(null);
  };
  return (
    <Card title={words.price}>
      <dl class="facts">
        <div>
          <dt>{words.holds}</dt>
          <dd>{words.perMinute(money(a.price.per_minute, currency))}</dd>
        </div>
        <div>
          <dt>{words.leastHolds}</dt>
          <dd>{length(a.least_seconds)}</dd>
        </div>
      </dl>
      <form
        class="stack"
        onSubmit={(e) => {
          e.preventDefault();
          void save();
        }}
      >
        <Field
          label={words.ownPrice(currency)}
          hint={words.priceHint(money(bounds.per_minute_least, currency), money(bounds.per_minute_most, currency))}
          type="number" inputMode="decimal" step={1 / unit} min={bounds.per_minute_least / unit} max={bounds.per_minute_most / unit}
          value={priceNow}
          onInput={(e) => (setSaved(false), setPrice(e.currentTarget.value))}
        />
        <Field
          label={words.ownMinutes}
          hint={words.minutesHint(length(bounds.predetermined_seconds_least), length(bounds.predetermined_seconds_most))}
          type="number" inputMode="decimal" step="any" min={bounds.predetermined_seconds_least / 60} max={bounds.predetermined_seconds_most / 60}
          value={minutesNow}
          onInput={(e) => (setSaved(false), setMinutes(e.currentTarget.value))}
        />
        <Trouble problem={problem} />
        <Button full busy={busy} onClick={() => void save()}>{words.savePrice}</Button>
        {saved && <Done>{t.app.saved}</Done>}
      </form>
    </Card>
  );
}

/** How many minor units a unit of a currency has. */
const minor = (currency: string) => 10 ** (new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2);

const pictures = "image/jpeg,image/png,image/webp";

/** How clients see the advisor. */
export function FaceCard() {
  const a = advisor.value;
  const [text, setText] = useState<string | null>(null);
  const [topics, setTopics] = useState<string | null>(null);
  const [saved, setSaved] = useState(false);
  const saving = useAct();
  const sending = useAct();
  if (!a) return null;
  const path = { id: me.value };
  const save = async () => {
    const list = (topics ?? a.topics.join(", ")).split(",").map((topic) => topic.trim()).filter(Boolean);
    const done = await saving.run(async () => {
      await session.api.value.patch("/v1/advisors/{id}", { path, body: { words: text ?? a.words, topics: list } });
      await look();
    });
    setSaved(done);
    if (done) setText(null), setTopics(null);
  };
  const send = (file: File) =>
    sending.run(async () => {
      await session.api.value.put("/v1/advisors/{id}/picture", { path, file });
      await look();
    });
  const remove = () =>
    sending.run(async () => {
      await session.api.value.delete("/v1/advisors/{id}/picture", { path });
      await look();
    });
  return (
    <Card title={words.face}>
      <div class="row">
        {a.picture ? <img class="avatar large" src={a.picture} alt={words.picture} width="112" height="112" /> : <Avatar name={a.name} large />}
        <div class="grow buttons">
          <FileButton icon="image" accept={pictures} busy={sending.busy} onFile={(file) => void send(file)}>{words.choosePicture}</FileButton>
          {a.picture && <Button kind="bare" onClick={() => void remove()}>{words.removePicture}</Button>}
        </div>
      </div>
      <Trouble problem={sending.problem} />
      <Area label={words.about} hint={words.aboutHint} rows={5} maxLength={2000} value={text ?? a.words ?? ""} onInput={(e) => (setSaved(false), setText(e.currentTarget.value))} />
      <Field label={words.topics} hint={words.topicsHint} value={topics ?? a.topics.join(", ")} onInput={(e) => (setSaved(false), setTopics(e.currentTarget.value))} />
      <Trouble problem={saving.problem} />
      <Button full busy={saving.busy} onClick={() => void save()}>{words.saveFace}</Button>
      {saved && <Done>{t.app.saved}</Done>}
    </Card>
  );
}
