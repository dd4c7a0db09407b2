import { signal } from "@preact/signals";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Problem, type Schema } from "../lib/api";
import { length, money, when } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip, Field, Notice } from "../ui/ui";
import { Editor } from "./editor";
import { Help } from "./help";
import { api, done, problemOf, useAct, useLook } from "./model";
import { Facts, Form, Page, Select, Table, Trouble } from "./parts";

type Version = Schema["PlanVersion"];
type Fault = Schema["PlanFault"];

// What is in the editor outlives a look at another page of the desk.
const opened = signal<Version | null>(null); // with its text
const text = signal("");
const changed = () => opened.value !== null && text.value !== opened.value.text;

addEventListener("beforeunload", (e) => changed() && e.preventDefault());

function show(v: Version) {
  opened.value = v;
  text.value = v.text ?? "";
}

export function Plan() {
  const versions = useLook(() => api().get("/v1/plans", { query: { limit: 50 } }), ["plan."]);
  const plans = versions.value?.plans ?? [];
  const active = plans.find((v) => v.active)?.version ?? 0;
  const { act, busy, problem } = useAct();
  const [said, say] = useState("");

  const open = async (version: number) => {
    const got = await act(["open", version], () => api().get("/v1/plans/{version}", { path: { version } }));
    if (got) show(got);
  };
  useEffect(() => {
    const first = active || plans[0]?.version;
    if (!opened.value && first) void open(first);
  }, [active, plans.length]);

  const activate = async (version: number, at?: string) => {
    const body = at ? { at } : {};
    const made = await act(["activate", version, at], (key) => api().post("/v1/plans/{version}/activation", { path: { version }, body, key }));
    if (!made) return;
    say(at ? t.desk.plan.willHold(made.version, when(made.from)) : t.desk.plan.holds(made.version));
    done("plan.activated");
  };
  const rollBack = async () => {
    const made = await act(["rollback", active], (key) => api().post("/v1/plans/rollback", { key }));
    if (!made) return;
    say(t.desk.plan.holdsAgain(made.version));
    done("plan.activated");
  };
  const withdraw = async (version: number) => {
    const withdrawn = await act(["withdraw", version], async () => {
      await api().delete("/v1/plans/{version}/activation", { path: { version } });
      return true;
    });
    if (!withdrawn) return;
    say(t.desk.plan.withdrawn(version));
    done("plan.withdrawn"); // of which no event tells
  };

  return (
    <Page
      title={t.desk.pages.plan}
      aside={
        <Button kind="plain" icon="back" busy={busy} onClick={() => void rollBack()}>
          {t.desk.plan.rollBack}
        </Button>
      }
    >
      <div aria-live="polite">{said && <Notice tone="good">{said}</Notice>}</div>
      <Trouble problem={problem} />
      <Trouble problem={versions.problem} again={versions.again} />
      <Desktop active={active} plans={plans} onActivate={activate} onSaved={(v) => (show(v), say(t.desk.plan.saved(v.version)), versions.again())} />
      <WhatIf versions={plans} active={active} />
      <Card title={t.desk.plan.history}>
        <Table
          name={t.desk.plan.history}
          rows={plans}
          id={(v) => v.version}
          empty={versions.value ? t.desk.plan.noneSaved : t.common.wait}
          columns={[
            { name: t.desk.plan.version, cell: (v) => <>{v.version} <State of={v} /></> },
            { name: t.desk.plan.note, cell: (v) => v.note || "–" },
            { name: t.desk.who, cell: (v) => v.author },
            { name: t.desk.plan.savedAt, cell: (v) => when(v.saved_at) },
            {
              name: t.desk.plan.doIt,
              unnamed: true,
              end: true,
              cell: (v) => (
                <div class="actions">
                  <Button kind="bare" onClick={() => void open(v.version)}>{t.desk.plan.open} <span class="unseen">{v.version}</span></Button>
                  {v.starts_at && <Button kind="bare" onClick={() => void withdraw(v.version)}>{t.desk.plan.withdraw} <span class="unseen">{v.version}</span></Button>}
                </div>
              ),
            },
          ]}
        />
      </Card>
    </Page>
  );
}

function State(p: { of: Version }) {
  if (p.of.active) return <Chip tone="good" icon="check">{t.desk.plan.active}</Chip>;
  return p.of.starts_at ? <Chip tone="warn" icon="clock">{t.desk.plan.from(when(p.of.starts_at))}</Chip> : null;
}

interface Checked {
  text: string;
  faults: Fault[];
  changes: Schema["PlanChanges"] | null;
  problem: Problem | null;
}

const pause = 400; // ms without a key, until the text is looked at

/** All that is wrong with a text, and what it would change, as one types. */
function useCheck(written: string, active: number): { checked: Checked; checking: boolean } {
  const [checked, set] = useState<Checked>({ text: "", faults: [], changes: null, problem: null });
  useEffect(() => {
    let over = false;
    const look = async () => {
      if (!written) return;
      const found: Checked = { text: written, faults: [], changes: null, problem: null };
      try {
        found.faults = (await api().post("/v1/plans/check", { body: { text: written } })).faults;
        if (!found.faults.length && active && !over) found.changes = await api().post("/v1/plans/diff", { body: { text: written } });
      } catch (e) {
        found.problem = problemOf(e);
      }
      if (!over) set(found);
    };
    const timer = setTimeout(() => void look(), pause);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [written, active]);
  return { checked, checking: checked.text !== written };
}

/** The editor, and beside it what is to be said of its text and done with it. */
function Desktop(p: { active: number; plans: Version[]; onActivate: (version: number, at?: string) => Promise<void>; onSaved: (v: Version) => void }) {
  const id = useId();
  const goTo = useRef((_: number) => {});
  const { checked, checking } = useCheck(text.value, p.active);
  const [line, setLine] = useState(1);
  const here = opened.value && (p.plans.find((v) => v.version === opened.value?.version) ?? opened.value); // what is opened may have become active
  return (
    <div class="beside">
      <Card title={here ? t.desk.plan.editing(here.version) : t.desk.plan.text} aside={changed() ? <Chip tone="warn">{t.desk.plan.changed}</Chip> : here && <State of={here} />}>
        <Editor name={t.desk.plan.text} text={text.value} faults={checked.faults} describedBy={id} goTo={goTo} onText={(written) => (text.value = written)} onLine={setLine} />
      </Card>
      <div class="stack">
        <Card title={t.desk.plan.check}>
          <div id={id} class="stack" aria-live="polite">
            <Trouble problem={checked.problem} />
            {!checked.problem && (
              <p>
                {checking ? (
                  <Chip>{t.desk.plan.checking}</Chip>
                ) : checked.faults.length ? (
                  <Chip tone="bad" icon="alert">{t.desk.plan.faults(checked.faults.length)}</Chip>
                ) : (
                  <Chip tone="good" icon="check">{t.desk.plan.noFaults}</Chip>
                )}
              </p>
            )}
            {checked.faults.length > 0 && (
              <ul class="faults">
                {checked.faults.map((f, i) => (
                  <li key={i}>
                    <button type="button" onClick={() => goTo.current(f.line)}>
                      <strong>{t.desk.plan.line(f.line)}</strong> <code>{f.field}</code> {f.problem}
                    </button>
                  </li>
                ))}
              </ul>
            )}
          </div>
        </Card>
        <Help text={text.value} line={line} />
        {checked.changes && !checked.faults.length && (
          <Card title={t.desk.plan.changes(checked.changes.against)}>
            <Changes of={checked.changes.changes} />
          </Card>
        )}
        {changed() ? <Save sound={!checking && !checked.faults.length && !checked.problem} onSaved={p.onSaved} /> : here && <Activate version={here} active={here.version === p.active} onActivate={p.onActivate} />}
      </div>
    </div>
  );
}

const signs: Record<string, [tone: string, name: string]> = {
  "+": ["added", t.desk.plan.added],
  "~": ["altered", t.desk.plan.altered],
  "-": ["removed", t.desk.plan.removed],
};

function Changes(p: { of: string[] }) {
  if (!p.of.length) return <p class="soft">{t.desk.plan.same}</p>;
  return (
    <ul class="changes">
      {p.of.map((change) => {
        const [tone, name] = signs[change[0] ?? ""] ?? ["", ""];
        return (
          <li key={change} class={tone}>
            <span class="unseen">{name}</span> {change}
          </li>
        );
      })}
    </ul>
  );
}

function Save(p: { sound: boolean; onSaved: (v: Version) => void }) {
  const [note, write] = useState("");
  const { act, busy, problem } = useAct();
  const send = async () => {
    if (!p.sound) return;
    const body = { text: text.value, note };
    const saved = await act(body, (key) => api().post("/v1/plans", { body, key }));
    if (saved) p.onSaved(saved);
  };
  return (
    <Card title={t.desk.plan.saveTitle}>
      <Trouble problem={problem} />
      <Form onSend={() => void send()}>
        <Field label={t.desk.plan.noteWhy} maxLength={500} value={note} onInput={(e) => write(e.currentTarget.value)} />
        <div class="actions">
          <Button kind="plain" onClick={() => opened.value && show(opened.value)}>{t.desk.plan.discard}</Button>
          <Button busy={busy} off={!p.sound} onClick={() => void send()}>{t.desk.plan.save}</Button>
        </div>
      </Form>
    </Card>
  );
}

function Activate(p: { version: Version; active: boolean; onActivate: (version: number, at?: string) => Promise<void> }) {
  const [at, setAt] = useState("");
  const { version } = p.version;
  if (p.active) return null;
  return (
    <Card title={t.desk.plan.activateTitle(version)}>
      <p class="soft">{t.desk.plan.activateHint}</p>
      <Button full onClick={() => void p.onActivate(version)}>{t.desk.plan.activateNow}</Button>
      <Form onSend={() => at && void p.onActivate(version, new Date(at).toISOString())}>
        <Field label={t.desk.plan.orAt} type="datetime-local" value={at} onInput={(e) => setAt(e.currentTarget.value)} />
        <Button kind="plain" full off={!at} onClick={() => void p.onActivate(version, new Date(at).toISOString())}>{t.desk.plan.activateThen}</Button>
      </Form>
    </Card>
  );
}

/** What would happen if somebody called now. Nobody is rung. */
function WhatIf(p: { versions: Version[]; active: number }) {
  const [ani, setAni] = useState("");
  const [did, setDid] = useState("");
  const [chosen, choose] = useState(0);
  const [answer, setAnswer] = useState<Schema["Explanation"] | null>(null);
  const { act, busy, problem } = useAct();
  const version = chosen || p.active;
  const ask = async () => {
    const body = { ani: ani.replace(/\s/g, ""), did: did.replace(/\s/g, "") };
    const got = await act([version, body], () => api().post("/v1/plans/{version}/explanation", { path: { version }, body }));
    setAnswer(got ?? null);
  };
  return (
    <Card title={t.desk.whatIf.title}>
      <p class="soft">{t.desk.whatIf.hint}</p>
      <Form class="fields" onSend={() => void ask()}>
        <Field label={t.desk.whatIf.caller} type="tel" placeholder="+49…" value={ani} onInput={(e) => setAni(e.currentTarget.value)} />
        <Field label={t.desk.whatIf.dialled} type="tel" placeholder="+49…" value={did} onInput={(e) => setDid(e.currentTarget.value)} />
        <Select
          label={t.desk.whatIf.under}
          value={String(version)}
          options={p.versions.map((v) => [String(v.version), `${v.version}${v.active ? ` (${t.desk.plan.active})` : ""}`])}
          onChange={(v) => choose(Number(v))}
        />
        <Button busy={busy} off={!did || !version} onClick={() => void ask()}>{t.desk.whatIf.ask}</Button>
      </Form>
      <Trouble problem={problem} />
      <div aria-live="polite" class="stack">
        {answer && (
          <>
            <p>
              <Chip tone={answer.rings ? "good" : "warn"} icon={answer.rings ? "phone" : "info"}>{answer.rings ? t.desk.whatIf.rings : t.desk.whatIf.ringsNot}</Chip>
            </p>
            <ol class="steps">{answer.steps.map((step, i) => <li key={i}>{step}</li>)}</ol>
            <Facts
              of={[
                ...(answer.rings ? [] : [[t.desk.whatIf.wouldEnd, answer.outcome] as [string, string]]),
                ...(answer.price
                  ? ([
                      [t.desk.live.held, money(answer.held, answer.price.currency)],
                      [t.desk.whatIf.longest, length(answer.seconds)],
                      [t.desk.whatIf.price, t.desk.perMinute(money(answer.price.per_minute, answer.price.currency))],
                    ] as [string, string][])
                  : []),
              ]}
            />
          </>
        )}
      </div>
    </Card>
  );
}
