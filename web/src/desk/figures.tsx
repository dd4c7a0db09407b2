import { language, t } from "../texts";
import { clock, length, money, time } from "../lib/format";
import { Card } from "../ui/ui";
import { api, useEvery, useLook } from "./model";
import { Page, Table, Trouble } from "./parts";
import { Bars } from "./plot";

const words = t.desk.figures;
const turns = 60_000; // ms; an hour begins without an event
const percent = (share: number) => new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);

export function Figures() {
  const look = useLook(() => api().get("/v1/statistics"), ["call.ended"]);
  useEvery(turns, look.again);
  const { hours = [], currency = "EUR" } = look.value ?? {};
  const sum = (of: (h: (typeof hours)[number]) => number) => hours.reduce((all, h) => all + of(h), 0);
  const longest = (of: (h: (typeof hours)[number]) => number) => Math.round(Math.max(0, ...hours.map(of)));
  const [calls, answered] = [sum((h) => h.calls), sum((h) => h.answered)];
  const at = hours.map((h) => time(h.from));
  const amount = (n: number) => money(n, currency);
  return (
    <Page title={t.desk.pages.figures} aside={<span class="soft">{words.day}</span>}>
      <Trouble problem={look.problem} again={look.again} />
      {look.value && (
        <>
          <div class="plots">
            <Card title={words.calls}>
              <Bars
                said={words.inAll(calls, answered)}
                at={at}
                front={{ name: words.answered, values: hours.map((h) => h.answered) }}
                back={{ name: words.calls, values: hours.map((h) => h.calls) }}
                write={(n) => String(n)}
                whole
              />
            </Card>
            <Card title={words.talk}>
              <Bars
                said={words.talked(length(sum((h) => h.talk_seconds)))}
                at={at}
                front={{ name: words.minutes, values: hours.map((h) => h.talk_seconds / 60) }}
                write={(n) => new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(n)}
              />
            </Card>
            <Card title={words.rate}>
              <Bars
                said={calls ? words.answerRate(percent(answered / calls)) : words.noneYet}
                at={at}
                front={{ name: words.rate, values: hours.map((h) => (h.calls ? h.answered / h.calls : 0)) }}
                write={percent}
                most={1}
              />
            </Card>
            <Card title={words.waiting}>
              <Bars
                said={words.waited(length(longest((h) => h.wait_seconds)), length(longest((h) => h.ring_seconds)))}
                at={at}
                front={{ name: words.ringing, values: hours.map((h) => h.ring_seconds) }}
                back={{ name: words.inLine, values: hours.map((h) => h.wait_seconds) }}
                write={(n) => clock(n * 1000)}
                whole
              />
            </Card>
            <Card title={words.money}>
              <Bars
                said={words.moneyInAll(amount(sum((h) => h.captured)), amount(sum((h) => h.held)))}
                at={at}
                front={{ name: words.captured, values: hours.map((h) => h.captured) }}
                back={{ name: words.held, values: hours.map((h) => h.held) }}
                write={amount}
              />
            </Card>
          </div>
          <Card title={words.table}>
            <Table
              name={words.table}
              rows={[...hours].reverse()}
              id={(h) => h.from}
              empty={words.noneYet}
              columns={[
                { name: words.hour, cell: (h) => time(h.from) },
                { name: words.calls, end: true, cell: (h) => h.calls },
                { name: words.answered, end: true, cell: (h) => h.answered },
                { name: words.rate, end: true, cell: (h) => (h.calls ? percent(h.answered / h.calls) : "–") },
                { name: words.talk, end: true, cell: (h) => length(h.talk_seconds) },
                { name: words.inLine, end: true, cell: (h) => (h.wait_seconds ? length(Math.round(h.wait_seconds)) : "–") },
                { name: words.ringing, end: true, cell: (h) => (h.ring_seconds ? length(Math.round(h.ring_seconds)) : "–") },
                { name: words.held, end: true, cell: (h) => amount(h.held) },
                { name: words.captured, end: true, cell: (h) => amount(h.captured) },
              ]}
            />
          </Card>
        </>
      )}
    </Page>
  );
}
