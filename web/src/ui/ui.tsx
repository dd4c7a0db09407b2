import type { ComponentChildren, InputHTMLAttributes } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icon";

// The components that every page is made of. They hold no state of their own beyond
// what the browser's own elements need.

type Kind = "main" | "plain" | "bare" | "good" | "bad";

export function Button(p: {
  kind?: Kind;
  icon?: IconName;
  busy?: boolean;
  off?: boolean; // not yet: something is to be done first
  full?: boolean;
  onClick: () => void;
  children: ComponentChildren;
}) {
  // A busy button keeps the focus and its name: it is not `disabled`.
  return (
    <button
      type="button"
      class={`button ${p.kind ?? "main"} ${p.full ? "full" : ""}`}
      aria-disabled={p.busy || p.off ? "true" : undefined}
      onClick={() => p.busy || p.off || p.onClick()}
    >
      {p.busy ? <Wait /> : p.icon && <Icon name={p.icon} />}
      {p.children}
    </button>
  );
}

/** A round button of a call, with its name beneath. */
export function Round(p: { icon: IconName; name: string; kind?: "good" | "bad"; pressed?: boolean; onClick: () => void }) {
  return (
    <button type="button" class={`round ${p.kind ?? ""}`} aria-pressed={p.pressed} onClick={p.onClick}>
      <span>
        <Icon name={p.icon} />
      </span>
      <span>{p.name}</span>
    </button>
  );
}

export function Switch(p: { on: boolean; busy?: boolean; labelledBy: string; onChange: (on: boolean) => void }) {
  return (
    <button
      type="button"
      role="switch"
      class="switch"
      aria-checked={p.on}
      aria-busy={p.busy}
      aria-labelledby={p.labelledBy}
      onClick={() => p.busy || p.onChange(!p.on)}
    />
  );
}

export function Card(p: { title?: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="card">
      {p.title && (
        <header>
          <h2>{p.title}</h2>
          {p.aside}
        </header>
      )}
      {p.children}
    </section>
  );
}

type Tone = "info" | "good" | "warn" | "bad";
const toneIcons: Record<Tone, IconName> = { info: "info", good: "check", warn: "alert", bad: "alert" };

/** What the page has to say. It is read out when it comes, at once where it is bad. */
export function Notice(p: { tone: Tone; children: ComponentChildren; action?: ComponentChildren }) {
  return (
    <div class={`notice ${p.tone}`} role={p.tone === "bad" ? "alert" : "status"}>
      <Icon name={toneIcons[p.tone]} />
      <div class="grow">{p.children}</div>
      {p.action}
    </div>
  );
}

export function Chip(p: { tone?: "good" | "warn" | "bad"; icon?: IconName; children: ComponentChildren }) {
  return (
    <span class={`chip ${p.tone ?? ""}`}>
      {p.icon && <Icon name={p.icon} />}
      {p.children}
    </span>
  );
}

export function Avatar(p: { name: string; large?: boolean; pulse?: boolean }) {
  const letters = p.name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? "").join("").toUpperCase();
  return (
    <div class={`avatar ${p.large ? "large" : ""} ${p.pulse ? "pulse" : ""}`} aria-hidden="true">
      {letters || <Icon name="user" />}
    </div>
  );
}

export const Wait = () => <span class="wait" aria-hidden="true" />;

/** The bar on top of each page. */
export function Bar(p: { name: string; children?: ComponentChildren }) {
  return (
    <header class="bar">
      <img class="logo" src="/icon.svg" alt="" width="32" height="32" />
      <strong>{p.name}</strong>
      <div class="end">{p.children}</div>
    </header>
  );
}

/** Covers the page, keeps the focus, and cannot be closed by Escape: only by what is on it. */
export function Sheet(p: { name: string; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    d?.focus();
    return () => d?.close();
  }, []);
  return (
    <dialog ref={dialog} class="sheet" aria-label={p.name} tabIndex={-1} onCancel={(e: Event) => e.preventDefault()}>
      {p.children}
    </dialog>
  );
}

const letters: Record<string, string> = { 2: "ABC", 3: "DEF", 4: "GHI", 5: "JKL", 6: "MNO", 7: "PQRS", 8: "TUV", 9: "WXYZ", 0: "+" };

/** A telephone's keys. Those of the keyboard do the same while it is shown. */
export function Keypad(p: { name: string; names: Record<"*" | "#", string>; onKey: (key: string) => void }) {
  const pad = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      if (!/^[0-9*#]$/.test(e.key) || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
      const key = pad.current?.querySelector(`[data-key="${e.key}"]`);
      key?.classList.add("down");
      setTimeout(() => key?.classList.remove("down"), 150);
      p.onKey(e.key);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [p.onKey]);
  return (
    <div class="keypad" role="group" aria-label={p.name} ref={pad}>
      {[..."123456789*0#"].map((key) => (
        <button
          type="button"
          key={key}
          data-key={key}
          data-letters={letters[key] ?? " "}
          aria-label={key === "*" || key === "#" ? p.names[key] : key}
          onClick={() => p.onKey(key)}
        >
          {key}
        </button>
      ))}
    </div>
  );
}

export function Field(p: { label: string; hint?: string } & InputHTMLAttributes<HTMLInputElement>) {
  const { label, hint, ...input } = p;
  const id = useId();
  // The hint describes the field; its name is the label alone.
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} aria-describedby={hint && `${id}-hint`} {...input} />
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </div>
  );
}
