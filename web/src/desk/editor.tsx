import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Schema } from "../lib/api";

const line = 1.5; // rem, as in desk.css

/**
 * An editor of plain text with numbered lines, and with what is wrong written behind the
 * lines. It is a textarea: all that a keyboard and a screen reader can do, they can here.
 */
export function Editor(p: {
  name: string;
  text: string;
  faults: Schema["PlanFault"][];
  describedBy: string;
  goTo: { current: (line: number) => void };
  onText: (text: string) => void;
  onLine: (line: number) => void; // where the caret is
}) {
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = useMemo(() => p.text.split("\n"), [p.text]);
  const widest = useMemo(() => lines.reduce((most, l) => Math.max(most, l.length), 0), [lines]);
  const numbers = useMemo(() => lines.map((_, i) => i + 1).join("\n"), [lines.length]);
  const said = new Map<number, string[]>();
  for (const f of p.faults) {
    const at = Math.min(Math.max(1, f.line), lines.length);
    said.set(at, [...(said.get(at) ?? []), `${f.field} ${f.problem}`.trim()]);
  }

  useEffect(() => {
    p.goTo.current = (number) => {
      const a = area.current;
      if (!a) return;
      const start = lines.slice(0, number - 1).join("\n").length + (number > 1 ? 1 : 0);
      a.focus({ preventScroll: true });
      a.setSelectionRange(start, start + (lines[number - 1]?.length ?? 0));
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
      a.closest(".editor")?.scrollTo({ top: (number - 4) * line * rem, left: 0 });
      a.closest(".editor")?.scrollIntoView({ block: "nearest" });
    };
  });

  const moved = (e: { currentTarget: HTMLTextAreaElement }) => {
    const { value, selectionStart } = e.currentTarget;
    p.onLine(value.slice(0, selectionStart).split("\n").length);
  };
  return (
    <div class="editor">
      <div class="numbers" aria-hidden="true">
        {numbers}
      </div>
      <div class="paper">
        {[...said].map(([at, problems]) => (
          <div key={at} class="fault" aria-hidden="true" style={{ top: `${(at - 1) * line}rem` }}>
            <span class="ghost">{lines[at - 1]}</span>
            <span>{problems.join(" · ")}</span>
          </div>
        ))}
        <textarea
          ref={area}
          aria-label={p.name}
          aria-describedby={p.describedBy}
          aria-invalid={p.faults.length > 0}
          wrap="off"
          onSelect={moved}
          onClick={moved}
          onKeyUp={moved}
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          rows={lines.length}
          style={{ width: `${widest + 3}ch` }}
          value={p.text}
          onInput={(e) => p.onText(e.currentTarget.value)}
          onKeyDown={indent}
        />
      </div>
    </div>
  );
}

/** A new line begins below the one before. Tab leaves the editor, as it leaves any field. */
function indent(e: KeyboardEvent) {
  if (e.key !== "Enter" || e.isComposing || e.ctrlKey || e.metaKey || e.altKey) return;
  const a = e.currentTarget as HTMLTextAreaElement;
  const before = a.value.slice(a.value.lastIndexOf("\n", a.selectionStart - 1) + 1, a.selectionStart);
  const spaces = /^ */.exec(before)?.[0] ?? "";
  if (!spaces) return;
  e.preventDefault();
  document.execCommand("insertText", false, `\n${spaces}`); // the only way that undo knows of
}
