import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../texts";
import { me, session } from "./model";
import { Area, Done, Trouble, useAct } from "./parts";

const words = t.app.notes;
const pause = 800; // ms without a key, after which it is kept

/** What the advisor wrote down about a client. It keeps itself: nothing has to be pressed. */
export function Note(p: { client: string; rows?: number }) {
  const path = { id: me.value, client: p.client };
  const [text, setText] = useState<string | null>(null);
  const kept = useRef("");
  const typed = useRef("");
  const { busy, problem, run } = useAct();
  const reading = useAct();

  const read = () =>
    reading.run(async () => {
      const { note } = await session.api.value.get("/v1/advisors/{id}/clients/{client}/note", { path });
      kept.current = typed.current = note;
      setText(note);
    });
  const keep = async () => {
    const note = typed.current;
    if (note === kept.current) return;
    await run(async () => {
      await session.api.value.put("/v1/advisors/{id}/clients/{client}/note", { path, body: { note }, last: true });
      kept.current = note;
    });
  };
  useEffect(() => {
    void read();
    return () => void keep(); // the sheet was closed
  }, [p.client]);
  useEffect(() => {
    if (text === null || text === kept.current) return;
    const timer = setTimeout(() => void keep(), pause);
    return () => clearTimeout(timer);
  }, [text]);

  return (
    <div class="stack">
      <Area
        label={words.label}
        rows={p.rows ?? 4}
        maxLength={4000}
        disabled={text === null}
        value={text ?? ""}
        onInput={(e) => {
          typed.current = e.currentTarget.value;
          setText(e.currentTarget.value);
        }}
        onBlur={() => void keep()}
      />
      <div class="under">
        {text !== null && !busy && !problem && text !== "" && text === kept.current ? <Done>{words.kept}</Done> : <p class="soft">{words.private}</p>}
      </div>
      <Trouble problem={problem ?? reading.problem} again={() => void (problem ? keep() : read())} />
    </div>
  );
}
