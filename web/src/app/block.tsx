import { useState } from "preact/hooks";
import { t } from "../texts";
import { Button, Notice } from "../ui/ui";
import { blocks } from "./book";
import { me, session } from "./model";
import { Trouble, useAct } from "./parts";

const words = t.app.block;

/** Keeps a client away, or lets them come again. It is asked about first: it is one tap
 * from where one says "done". */
export function Block(p: { client: string; name: string }) {
  const [sure, ask] = useState(false);
  const { busy, problem, run } = useAct();
  const blocked = blocks.value.value?.some((b) => b.id === p.client) ?? false;
  const path = { id: me.value, client: p.client };
  const set = async (block: boolean) => {
    const done = await run(async () => {
      await (block ? session.api.value.put("/v1/advisors/{id}/blocks/{client}", { path }) : session.api.value.delete("/v1/advisors/{id}/blocks/{client}", { path }));
      await blocks.look();
    });
    if (done) ask(false);
  };
  return (
    <div class="stack">
      <Trouble problem={problem} />
      {blocked ? (
        <Notice tone="info" action={<Button kind="plain" busy={busy} onClick={() => void set(false)}>{words.unblock}</Button>}>{words.blocked(p.name)}</Notice>
      ) : sure ? (
        <Notice tone="warn">
          <p>{words.sure(p.name)}</p>
          <div class="buttons">
            <Button kind="bad" busy={busy} onClick={() => void set(true)}>{words.yes}</Button>
            <Button kind="plain" onClick={() => ask(false)}>{words.no}</Button>
          </div>
        </Notice>
      ) : (
        <Button kind="bare" onClick={() => ask(true)}>{words.block}</Button>
      )}
    </div>
  );
}
