import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { when } from "../lib/format";
import { t } from "../texts";
import { Bar, Button, Chip, Notice } from "../ui/ui";
import { Advisor, Advisors } from "./advisors";
import { Appointments } from "./appointments";
import { Call } from "./call";
import { Client, Clients } from "./clients";
import { Figures } from "./figures";
import { LiveCalls } from "./live";
import { connection, place, session, status, useStatus } from "./model";
import { Adjustments } from "./money";
import { Numbers } from "./numbers";
import { Trouble } from "./parts";
import { Plan } from "./plan";
import { Records } from "./records";

const pages: Record<string, [name: string, page: (id: string) => JSX.Element]> = {
  calls: [t.desk.pages.live, (id) => (id ? <Call key={id} id={id} /> : <LiveCalls />)],
  plan: [t.desk.pages.plan, () => <Plan />],
  numbers: [t.desk.pages.numbers, () => <Numbers />],
  advisors: [t.desk.pages.advisors, (id) => (id ? <Advisor key={id} id={id} /> : <Advisors />)],
  clients: [t.desk.pages.clients, (id) => (id ? <Client key={id} id={id} /> : <Clients />)],
  appointments: [t.desk.pages.appointments, () => <Appointments />],
  money: [t.desk.pages.money, () => <Adjustments />],
  figures: [t.desk.pages.figures, () => <Figures />],
  records: [t.desk.pages.records, () => <Records />],
};

export function Desk() {
  const [at = "", id = ""] = place.value;
  const here = pages[at] ? at : "calls";
  useEffect(() => document.querySelector(".desk nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [here]);
  const waiting = status.value?.adjustments_waiting ?? 0;
  return (
    <>
      <Bar name={t.signIn.desk}>
        <span class="soft holder">{session.holder.value}</span>
        <Button kind="bare" icon="signout" onClick={() => void session.leave()}>
          <span class="unseen">{t.common.signOut}</span>
        </Button>
      </Bar>
      <div class="desk">
        <nav aria-label={t.desk.nav}>
          {Object.entries(pages).map(([name, [title]]) => (
            <a key={name} href={`#/${name}`} aria-current={name === here ? "page" : undefined}>
              {title}
              {name === "money" && waiting > 0 && (
                <span class="count">
                  {waiting}
                  <span class="unseen"> {t.desk.money.waitingShort}</span>
                </span>
              )}
            </a>
          ))}
        </nav>
        <main>
          {connection.value === "lost" && <Notice tone="warn">{t.common.lost}</Notice>}
          <Health />
          {pages[here]?.[1](id)}
        </main>
      </div>
    </>
  );
}

/** How the host does, on every page. */
function Health() {
  const { problem, again } = useStatus();
  const s = status.value;
  if (!s) return problem ? <Trouble problem={problem} again={again} /> : <p class="health soft">{t.common.wait}</p>;
  const parts: [string, { ok: boolean; why?: string }][] = [
    [t.desk.health.ready, s.ready],
    ["Asterisk", s.asterisk],
    [t.desk.health.trunk, s.trunk],
    ["Postgres", s.postgres],
    ["Redis", s.redis],
  ];
  const wrong = parts.filter(([, part]) => !part.ok);
  const audit = s.last_audit;
  return (
    <section class="stack" aria-label={t.desk.health.name}>
      <ul class="health">
        {parts.map(([name, part]) => (
          <li key={name}>
            <Chip tone={part.ok ? "good" : "bad"} icon={part.ok ? "check" : "alert"}>
              {name}
              <span class="unseen">: {part.ok ? t.desk.health.ok : t.desk.health.not}</span>
            </Chip>
          </li>
        ))}
        <li>
          <Chip tone={s.plan ? "good" : "bad"}>{s.plan ? t.desk.health.plan(s.plan) : t.desk.health.noPlan}</Chip>
        </li>
        {s.next_plan && (
          <li>
            <Chip>{t.desk.health.next(s.next_plan.version, when(s.next_plan.from))}</Chip>
          </li>
        )}
        <li>
          <Chip tone={!audit ? "warn" : audit.fault_count ? "bad" : "good"} icon={audit && !audit.fault_count ? "check" : "alert"}>
            {!audit ? t.desk.health.noAudit : audit.fault_count ? t.desk.health.auditFaults(audit.fault_count) : t.desk.health.audit(when(audit.at))}
          </Chip>
        </li>
      </ul>
      {wrong.map(([name, part]) => (
        <Notice key={name} tone="bad">
          <strong>{t.desk.health.wrong(name)}</strong> {part.why}
        </Notice>
      ))}
    </section>
  );
}
