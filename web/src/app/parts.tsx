import { useSignal } from "@preact/signals";
import type { ComponentChildren, TextareaHTMLAttributes } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Problem } from "../lib/api";
import { t } from "../texts";
import { Icon, type IconName } from "../ui/icon";
import { Button, Notice, Sheet } from "../ui/ui";
import { asProblem, type Kept } from "./kept";

// Parts that several of the app's cards are made of.

/** Something that is asked of the host: whether it is under way, and what was wrong. */
export function useAct() {
  const busy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  const run = async (act: () => Promise<unknown>): Promise<boolean> => {
    busy.value = true;
    problem.value = null;
    try {
      await act();
      return true;
    } catch (e) {
      problem.value = asProblem(e);
      return false;
    } finally {
      busy.value = false;
    }
  };
  return { busy: busy.value, problem: problem.value, run };
}

/** What is wrong, in words for people: ours where we have some, else the host's. */
export function Trouble(p: { problem: Problem | null; again?: () => void }) {
  if (!p.problem) return null;
  const { code, said } = p.problem;
  const ours: Record<string, string> = t.app.troubles;
  const words = ours[code] ?? [said.title && `${said.title}.`, said.detail].filter(Boolean).join(" ");
  return (
    <Notice tone="bad" action={p.again && <Button kind="plain" onClick={p.again}>{t.common.again}</Button>}>
      {words || t.problems.internal}
    </Notice>
  );
}

/** What is kept, once it is there; until then that it comes, or why it does not. */
export function Loaded<T>(p: { of: Kept<T>; children: (value: T) => ComponentChildren }) {
  const value = p.of.value.value;
  return (
    <>
      <Trouble problem={p.of.problem.value} again={() => void p.of.look()} />
      {value === null ? !p.of.problem.value && <p class="soft">{t.common.wait}</p> : p.children(value)}
    </>
  );
}

export function Area(p: { label: string; hint?: string } & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const { label, hint, ...area } = p;
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea id={id} aria-describedby={hint && `${id}-hint`} rows={3} {...area} />
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </div>
  );
}

/** A button that lets the user choose a file. */
export function FileButton(p: { icon: IconName; accept: string; busy?: boolean; onFile: (file: File) => void; children: string }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button kind="plain" icon={p.icon} busy={p.busy ?? false} onClick={() => input.current?.click()}>{p.children}</Button>
      <input
        ref={input}
        type="file"
        hidden
        accept={p.accept}
        aria-label={p.children}
        onChange={(e) => {
          const [file] = e.currentTarget.files ?? [];
          e.currentTarget.value = ""; // the same file may be chosen again
          if (file) p.onFile(file);
        }}
      />
    </>
  );
}

/** A sheet in which something is done or left. */
export function Ask(p: { title: string; children: ComponentChildren; go: string; kind?: "main" | "bad"; busy: boolean; onGo: () => void; onClose: () => void }) {
  return (
    <Sheet name={p.title}>
      <h2>{p.title}</h2>
      <div class="stack rest">{p.children}</div>
      <div class="stack">
        <Button full kind={p.kind ?? "main"} busy={p.busy} onClick={p.onGo}>{p.go}</Button>
        <Button full kind="plain" onClick={p.onClose}>{t.common.cancel}</Button>
      </div>
    </Sheet>
  );
}

/** Runs on while something is shown that tells a time; it is not read out each time. */
export function Ticking(p: { children: (now: number) => string; class?: string }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => tick(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return <span class={p.class ?? "digits"} role="timer" aria-live="off">{p.children(now)}</span>;
}

/** A line with a switch at its end. */
export function Choice(p: { on: boolean; label: string; hint?: string; onChange: (on: boolean) => void }) {
  const id = useId();
  return (
    <div class="row">
      <div class="grow">
        <strong id={id}>{p.label}</strong>
        {p.hint && <p class="soft">{p.hint}</p>}
      </div>
      <button type="button" role="switch" class="switch" aria-checked={p.on} aria-labelledby={id} onClick={() => p.onChange(!p.on)} />
    </div>
  );
}

/** That something was done, beside what did it. */
export const Done = (p: { children: string }) => (
  <p class="said-done" role="status">
    <Icon name="check" /> {p.children}
  </p>
);
