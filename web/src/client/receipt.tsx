import { useEffect, useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { date, length, money, number, time } from "../lib/format";
import { language, t } from "../texts";
import { Button, Card, Wait } from "../ui/ui";
import * as model from "./model";
import { Facts, Place, Said } from "./parts";
import { counted } from "./price";
import { to } from "./route";

const words = t.client.receipt;

type R = Schema["Receipt"];

/** How a call ended, in words. */
function outcome(r: R): string {
  const said = words.outcomes as Record<string, string | Record<string, string>>;
  const known = said[r.outcome ?? ""] ?? words.outcomes.other;
  return typeof known === "string" ? known : (known[r.ended_by ?? "none"] ?? words.outcomes.completed.none);
}

const exactly = (at: string) => new Intl.DateTimeFormat(language, { timeStyle: "medium" }).format(new Date(at));

const inSeconds = new Intl.NumberFormat(language, { style: "unit", unit: "second", unitDisplay: "short", maximumFractionDigits: 1 });

/** A length as it was measured: what is rounded is what is counted. */
function measured(seconds: number): string {
  const tenths = Math.round(seconds * 10) / 10;
  const minutes = Math.floor(tenths / 60);
  return minutes ? `${length(minutes * 60)} ${inSeconds.format(tenths - minutes * 60)}` : inSeconds.format(tenths);
}

/** What a call cost, and why. */
export function Receipt(p: { receipt: R }) {
  const r = p.receipt;
  const price = r.price;
  const amount = (n: number) => money(n, price?.currency ?? model.currency.value);
  const paid = price ? counted(price, r.seconds) : 0;
  return (
    <div class="stack receipt">
      <p>{r.state === "live" ? words.live : outcome(r)}</p>
      {r.segments.length > 0 && (
        <section class="stack small">
          <h3>{words.segments}</h3>
          {r.segments.length > 1 && <p class="soft">{words.segmentHint}</p>}
          <Facts
            facts={[
              ...r.segments.map((s, i): [string, string] => [
                r.segments.length > 1 ? words.segment(i + 1) : words.talk,
                words.from(exactly(s.from), measured(s.seconds)),
              ]),
              r.segments.length > 1 && [words.talk, measured(r.seconds)],
              price && price.free_seconds > 0 && [words.free_seconds, length(Math.min(price.free_seconds, Math.ceil(r.seconds)))],
              price && [words.counted, length(paid)],
              price && [words.rate, words.perMinute(amount(price.per_minute))],
              price && price.fee > 0 && r.charge > 0 && [words.fee, amount(price.fee)],
            ]}
          />
        </section>
      )}
      <Facts
        facts={[r.refunded > 0 && [words.charged, amount(r.charge)], r.refunded > 0 && [words.refunded, amount(r.refunded)]]}
        sum={[r.refunded > 0 ? words.inAll : words.charged, amount(r.charge - r.refunded)]}
      />
      {r.charge === 0 && r.state === "ended" && <p>{words.free}</p>}
      {r.held > r.charge && r.state === "ended" && r.charge > 0 && <p class="soft">{words.held(amount(r.held), amount(r.held - r.charge))}</p>}
      {r.stars ? (
        <Facts facts={[[words.stars, words.starsOf(r.stars)]]} />
      ) : (
        r.segments.length > 0 && <p class="soft unprinted">{words.rateHint}</p>
      )}
    </div>
  );
}

/** A receipt by itself, to be kept or printed. */
export function ReceiptPage(p: { call: string }) {
  const [receipt, setReceipt] = useState<R | null>(model.receipts.value?.find((r) => r.call === p.call) ?? null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const list = model.receipts.value;
  useEffect(() => {
    let wanted = true;
    model.api().get("/v1/calls/{id}/receipt", { path: { id: p.call } }).then(
      (r) => wanted && setReceipt(r),
      (e) => wanted && setProblem(model.asProblem(e)),
    );
    return () => void (wanted = false);
  }, [p.call, list]);
  return (
    <Place title={receipt ? words.withWhom(receipt.advisor.name) : words.title} back={{ to: to.account, name: t.client.nav.toAccount }}>
      {problem && <Said problem={problem} />}
      {!receipt && !problem && <Wait />}
      {receipt && (
        <>
          <Card title={words.title} aside={<span class="soft">{date(receipt.started_at)}</span>}>
            <Facts
              facts={[
                [words.date, `${date(receipt.started_at)}, ${time(receipt.started_at)}`],
                receipt.number && [words.number, number(receipt.number)],
              ]}
            />
            <Receipt receipt={receipt} />
            <p class="soft digits small-print">{receipt.call}</p>
          </Card>
          <div class="unprinted">
            <Button kind="plain" full icon="print" onClick={() => print()}>{words.print}</Button>
          </div>
        </>
      )}
    </Place>
  );
}
