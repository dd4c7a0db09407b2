import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { t } from "../texts";
import { Button, Notice } from "../ui/ui";

// What the desk's pages have in common beside the components of all pages.

/** A page of the desk. Its heading takes the focus, so that it is read out. */
export function Page(p: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${p.title} – ${t.signIn.desk}`;
    heading.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [p.title]);
  return (
    <>
      <header class="head">
        <h1 ref={heading} tabIndex={-1}>
          {p.title}
        </h1>
        {p.aside}
      </header>
      {p.children}
    </>
  );
}

/** An error of the host's: what it is, and what to do about it. */
export function Trouble(p: { problem: Problem | null; again?: () => void }) {
  if (!p.problem) return null;
  const { status, code, said } = p.problem;
  const plain = (t.desk.remedies as Record<string, string>)[code];
  return (
    <Notice
      tone="bad"
      action={
        p.again && (
          <Button kind="plain" onClick={p.again}>
            {t.common.again}
          </Button>
        )
      }
    >
      {status === 0 || !said.title ? (
        status === 0 ? t.problems.offline : t.problems.internal
      ) : (
        <>
          <strong>{said.title}.</strong> {said.detail} {plain ?? said.remedy}
          {said.errors && (
            <ul class="bullets">
              {said.errors.map((e) => (
                <li key={e.where}>
                  {e.where.replace(/^(body|query)\./, "")}: {e.what}
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </Notice>
  );
}

/** Asks something over the page; Escape closes it. */
export function Dialog(p: { title: string; onClose: () => void; children: ComponentChildren }) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={id}
      onCancel={(e: Event) => {
        e.preventDefault();
        p.onClose();
      }}
    >
      <h2 id={id}>{p.title}</h2>
      {p.children}
    </dialog>
  );
}

/** Fields that Enter sends. */
export function Form(p: { onSend: () => void; class?: string; children: ComponentChildren }) {
  return (
    <form
      class={p.class ?? "stack"}
      onSubmit={(e) => {
        e.preventDefault();
        p.onSend();
      }}
    >
      {p.children}
      <button type="submit" hidden tabIndex={-1} />
    </form>
  );
}

export function Select(p: { label: string; value: string; options: [value: string, name: string][]; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{p.label}</label>
      <select id={id} value={p.value} onChange={(e) => p.onChange(e.currentTarget.value)}>
        {p.options.map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </div>
  );
}

export interface Column<T> {
  name: string;
  cell: (row: T) => ComponentChildren;
  end?: boolean; // numbers: flush at the end
  unnamed?: boolean; // buttons: the name is for who cannot see
}

/** A table; on a phone each row is a card. Roles are said since that layout hides them. */
export function Table<T>(p: { name: string; rows: T[]; id: (row: T) => string | number; columns: Column<T>[]; empty: string }): JSX.Element {
  if (p.rows.length === 0) return <p class="soft">{p.empty}</p>;
  return (
    <table role="table" class="table" aria-label={p.name}>
      <thead role="rowgroup">
        <tr role="row">
          {p.columns.map((c) => (
            <th key={c.name} role="columnheader" scope="col" class={c.end ? "end" : ""}>
              {c.unnamed ? <span class="unseen">{c.name}</span> : c.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {p.rows.map((row) => (
          <tr role="row" key={p.id(row)}>
            {p.columns.map((c) => (
              <td key={c.name} role="cell" class={c.end ? "end digits" : ""} data-name={c.unnamed ? undefined : c.name}>
                {c.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Facts(p: { of: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="facts">
      {p.of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export const To = (p: { to: string; children: ComponentChildren }) => <a href={`#/${p.to}`}>{p.children}</a>;

export const who = (named: Schema["Named"] | undefined, none: string) => named?.name || named?.id || none;
