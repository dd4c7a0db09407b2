import { useEffect, useState } from "preact/hooks";
import { t } from "../texts";
import { Card } from "../ui/ui";
import { api } from "./model";

// What a plan's fields mean: the host's example of a whole plan, which has a word on each.

const words = t.desk.help;

interface Field {
  path: string; // limits.queue
  example: string;
  says: string;
}

/** The path that each line of a plan's text stands for; "" where it is none. */
export function pathsOf(text: string): string[] {
  const above: { depth: number; name: string }[] = [];
  let last = "";
  return text.split("\n").map((line) => {
    const found = /^(\s*)(?:- )?([A-Za-z0-9_+"]+)\s*:/.exec(line);
    if (!found) return last;
    const [, spaces = "", name = ""] = found;
    while (above.length && (above.at(-1)?.depth ?? 0) >= spaces.length) above.pop();
    above.push({ depth: spaces.length, name });
    last = above.map((a) => a.name).join(".");
    return last;
  });
}

/** The fields of the example, with what its comments say of them. */
export function fieldsOf(example: string): Field[] {
  const paths = pathsOf(example);
  const fields: Field[] = [];
  example.split("\n").forEach((line, i) => {
    const [code = "", ...comment] = line.split(/(?:^|\s)# ?/);
    const says = comment.join("# ").trim();
    const path = paths[i] ?? "";
    const before = fields.at(-1);
    if (code.trim() && path && before?.path !== path) fields.push({ path, example: code.trim(), says });
    else if (!code.trim() && says && before?.path === path && /^\s+#/.test(line)) before.says += ` ${says}`;
  });
  return fields;
}

/** What the field on a line means, and all of them to look through. */
export function Help(p: { text: string; line: number }) {
  const [fields, set] = useState<Field[]>([]);
  const [example, show] = useState("");
  useEffect(() => {
    void api().get("/v1/plans/example").then(
      (plan) => (show(plan.text), set(fieldsOf(plan.text))),
      () => {}, // the editor works without
    );
  }, []);
  if (!fields.length) return null;
  const path = pathsOf(p.text)[p.line - 1] ?? "";
  // Names that people choose, such as a rate's or a country, stand for any.
  const same = (f: Field) => f.path === path || (f.path.split(".").length === path.split(".").length && shape(f.path) === shape(path));
  const field = fields.find((f) => f.path === path) ?? fields.find(same) ?? fields.find((f) => path.startsWith(`${f.path}.`));
  return (
    <Card title={words.title}>
      {field ? (
        <p>
          <code>{field.path}</code> {field.says || words.seeExample} <span class="soft">{words.such}</span> <code>{field.example}</code>
        </p>
      ) : (
        <p class="soft">{words.where}</p>
      )}
      <details>
        <summary>{words.whole}</summary>
        <pre class="words" tabIndex={0}>{example}</pre>
      </details>
    </Card>
  );
}

/** A path without the names that people choose. */
const shape = (path: string) => {
  const parts = path.split(".");
  return parts.map((part, i) => (i === 1 && ["rates", "destinations", "advisors"].includes(parts[0] ?? "") ? "*" : part)).join(".");
};
