import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { clock, money } from "../lib/format";
import { language, t } from "../texts";
import { Icon } from "../ui/icon";
import { Avatar, Bar, Chip, Field, Notice } from "../ui/ui";
import * as model from "./model";
import { to } from "./route";

// What more than one of this page's places is made of.

const words = t.client;

/** A place: its bar, its heading, which gets the focus, and what has gone wrong. */
export function Place(p: { title: string; unseen?: boolean; back?: { to: string; name: string }; wide?: boolean; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${p.title} · ${words.name}`;
  }, [p.title]);
  useEffect(() => {
    scrollTo(0, 0);
    if (document.activeElement === document.body || document.activeElement === null) heading.current?.focus({ preventScroll: true });
  }, []);
  const me = model.me.value;
  return (
    <>
      <Bar name={words.name}>
        {me && (
          <a class="button plain" href={to.account} aria-label={words.nav.account(money(me.available, me.currency))}>
            <Icon name="wallet" />
            <span class="digits">{money(me.available, me.currency)}</span>
          </a>
        )}
      </Bar>
      <main class={`column ${p.wide ? "wide" : ""}`}>
        <div class="across stack">
          {p.back && (
            <nav>
              <a class="button bare back unprinted" href={p.back.to}>
                <Icon name="back" />
                {p.back.name}
              </a>
            </nav>
          )}
          <h1 ref={heading} tabIndex={-1}>{p.title}</h1>
          {model.problem.value && model.connection.value !== "lost" && <Said problem={model.problem.value} />}
        </div>
        {p.children}
      </main>
      <Lost />
    </>
  );
}

/** Says over all that the connection is lost; nothing moves for it. */
export function Lost() {
  return (
    <div class="toast unprinted" aria-live="polite">
      {model.connection.value === "lost" && <Notice tone="warn">{t.common.lost}</Notice>}
    </div>
  );
}

/** A problem in plain words; what the host says of one that has none here. */
export function explain(p: Problem): { title: string; text: string } {
  const known = words.problems as Record<string, { title: string; text: string }>;
  const said = known[p.status === 0 ? "offline" : p.code];
  if (said) return p.code === "payment_declined" && p.said.detail ? { ...said, text: `${p.said.detail} ${said.text}` } : said;
  const faults = (p.said.errors ?? []).map((f) => f.what).join(" ");
  return p.said.title ? { title: p.said.title, text: faults || p.said.detail || words.problems.internal.text } : words.problems.internal;
}

export function Said(p: { problem: Problem; action?: ComponentChildren }) {
  const { title, text } = explain(p.problem);
  return (
    <Notice tone="bad" action={p.action}>
      <strong>{title}.</strong> {text}
    </Notice>
  );
}

export function Face(p: { advisor: { name: string; picture?: string | undefined }; large?: boolean; pulse?: boolean }) {
  const [bad, setBad] = useState(false);
  if (!p.advisor.picture || bad) return <Avatar name={p.advisor.name} large={p.large ?? false} pulse={p.pulse ?? false} />;
  return <img class={`avatar ${p.large ? "large" : ""}`} src={p.advisor.picture} alt="" width={p.large ? 112 : 48} height={p.large ? 112 : 48} onError={() => setBad(true)} />;
}

export function State(p: { advisor: Schema["Advisor"] }) {
  const { state } = p.advisor;
  if (state === "free") return <Chip tone="good" icon="check">{words.states.free}</Chip>;
  if (state === "busy") return <Chip tone="warn" icon="phone">{words.states.busy}</Chip>;
  return <Chip icon="clock">{words.states.away}</Chip>;
}

export function Stars(p: { advisor: Schema["Advisor"] }) {
  const { stars, rated } = p.advisor;
  if (!rated) return <span class="soft">{words.list.unrated}</span>;
  const shown = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(stars);
  return (
    <span class="stars">
      <Icon name="star" />
      <span aria-hidden="true">
        {shown} <span class="soft">({rated})</span>
      </span>
      <span class="unseen">{words.list.stars(shown, rated)}</span>
    </span>
  );
}

/** What a sheet is about now. It is read out when it changes. */
export const Head = (p: { children: ComponentChildren }) => (
  <div role="status">
    <h2>{p.children}</h2>
  </div>
);

/** Calls by the second, for what counts them. */
export function useSeconds() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, []);
}

/** The time until then. It is not read out each time. */
export function Countdown(p: { until: string; over?: () => void }) {
  useSeconds();
  const left = Date.parse(p.until) - Date.now();
  useEffect(() => {
    if (left <= 0) p.over?.();
  }, [left <= 0]);
  return <strong class="digits" role="timer" aria-live="off">{clock(left)}</strong>;
}

export function Facts(p: { facts: ([string, ComponentChildren] | null | false | undefined | "")[]; sum?: [string, ComponentChildren] | undefined }) {
  return (
    <dl class="facts">
      {p.facts.map((f) => f && (
        <div key={f[0]}>
          <dt>{f[0]}</dt>
          <dd>{f[1]}</dd>
        </div>
      ))}
      {p.sum && (
        <div class="sum">
          <dt>{p.sum[0]}</dt>
          <dd>{p.sum[1]}</dd>
        </div>
      )}
    </dl>
  );
}

/** A field whose hint describes it and is no part of its name. */
export function Hinted(p: { label: string; hint: string } & InputHTMLAttributes<HTMLInputElement>) {
  const { hint, ...field } = p;
  const id = useId();
  return (
    <div class="field">
      <Field {...field} aria-describedby={id} />
      <small id={id}>{hint}</small>
    </div>
  );
}

/** One of some, each as large as a finger. */
export function Choose<T extends string | number>(p: { label: string; unseen?: boolean; options: { value: T; name: string; hint?: string }[]; value: T | null; onChange: (value: T) => void }) {
  return (
    <fieldset class="choose">
      <legend class={p.unseen ? "unseen" : ""}>{p.label}</legend>
      <div>
        {p.options.map((o) => (
          <label key={o.value}>
            <input type="radio" name={p.label} checked={p.value === o.value} onChange={() => p.onChange(o.value)} />
            <span>
              {o.name}
              {o.hint && <small>{o.hint}</small>}
            </span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
