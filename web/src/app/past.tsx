import { useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { date, length, money, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Avatar, Button, Card, Chip, Sheet } from "../ui/ui";
import { Block } from "./block";
import * as book from "./book";
import { Note } from "./note";
import { Loaded } from "./parts";

const words = t.app.past;

/** What was earned: in all, and day by day. */
export function Earnings() {
  return (
    <Card title={words.earnings}>
      <Loaded of={book.earnings}>
        {(e) => (
          <>
            <dl class="facts">
              {e.in_all.map((a) => (
                <div key={a.currency}>
                  <dt>{words.inAll}</dt>
                  <dd><strong class="big">{money(a.amount, a.currency)}</strong></dd>
                </div>
              ))}
            </dl>
            {e.days.length > 0 ? <Days days={e.days} /> : <p class="soft">{words.noEarnings}</p>}
          </>
        )}
      </Loaded>
    </Card>
  );
}

const shown = 30; // days
const day = 86_400_000; // ms
const plot = { bar: 8, gap: 2, height: 72 };

/** A bar a day, and the same in words. */
function Days(p: { days: Schema["DayEarned"][] }) {
  const currency = p.days[0]?.currency ?? "";
  const of = p.days.filter((d) => d.currency === currency);
  const most = Math.max(...of.map((d) => d.amount), 1);
  const last = Date.parse(new Date().toLocaleDateString("sv")); // as the days are written: 2026-03-01
  const bars = Array.from({ length: shown }, (_, i) => {
    const name = new Date(last - (shown - 1 - i) * day).toISOString().slice(0, 10);
    return { name, amount: of.find((d) => d.day === name)?.amount ?? 0 };
  });
  return (
    <>
      <svg class="bars" viewBox={`0 0 ${shown * (plot.bar + plot.gap)} ${plot.height}`} role="img" aria-label={words.plot(shown)}>
        {bars.map((b, i) => {
          const height = Math.max(2, (Math.max(0, b.amount) / most) * plot.height);
          return <rect key={b.name} x={i * (plot.bar + plot.gap)} y={plot.height - height} width={plot.bar} height={height} rx="2" class={b.amount > 0 ? "" : "none"} />;
        })}
      </svg>
      <dl class="facts">
        {p.days.slice(0, 7).map((d) => (
          <div key={d.day + d.currency}>
            <dt>{date(d.day)}</dt>
            <dd>{money(d.amount, d.currency)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

type Who = { id: string; name: string };

export function Calls(p: { onClient: (who: Who) => void }) {
  const outcomes: Record<string, string> = words.outcomes;
  return (
    <Card title={words.calls}>
      <Loaded of={book.calls}>
        {(calls) =>
          calls.length === 0 ? <p class="soft">{words.noCalls}</p> : (
            <ul class="list">
              {calls.map((c) => (
                <li key={c.id} class="row">
                  <div class="grow">
                    <button type="button" class="link" onClick={() => p.onClient(c.client)}>{c.client.name || t.app.call.client}</button>
                    <span class="block soft">{whenFirst(c.started_at)}{c.seconds >= 1 && ` · ${length(c.seconds)}`}</span>
                  </div>
                  {c.share > 0 && c.currency ? <strong class="digits">{money(c.share, c.currency)}</strong> : <Chip>{outcomes[c.outcome] ?? c.outcome}</Chip>}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  );
}

export function Clients(p: { onClient: (who: Who) => void }) {
  return (
    <Card title={words.clients}>
      <Loaded of={book.clients}>
        {(clients) =>
          clients.length === 0 ? <p class="soft">{words.noClients}</p> : (
            <ul class="list">
              {clients.map((c) => (
                <li key={c.id} class="row">
                  <Avatar name={c.alias} />
                  <div class="grow">
                    <button type="button" class="link" onClick={() => p.onClient({ id: c.id, name: c.alias })}>{c.alias || t.app.call.client}</button>
                    <span class="block soft">{words.talks(c.talks, length(c.seconds))}</span>
                  </div>
                  {isBlocked(c.id) && <Chip tone="bad">{words.blocked}</Chip>}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  );
}

const isBlocked = (id: string) => book.blocks.value.value?.some((b) => b.id === id) ?? false;

/** Past: what was earned, by which calls, of whom. */
export function Past() {
  const [who, see] = useState<Who | null>(null);
  return (
    <>
      <div class="stack">
        <Earnings />
        <Clients onClient={see} />
      </div>
      <div class="stack">
        <Calls onClient={see} />
      </div>
      {who && (
        <Sheet name={who.name}>
          <div class="row">
            <Avatar name={who.name} />
            <h2>{who.name}</h2>
          </div>
          <div class="stack rest">
            <Note client={who.id} rows={8} />
            <Block client={who.id} name={who.name} />
          </div>
          <Button full onClick={() => see(null)}>{t.common.close}</Button>
        </Sheet>
      )}
    </>
  );
}
