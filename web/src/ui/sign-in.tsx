import { useState } from "preact/hooks";
import type { Session } from "../lib/session";
import { t } from "../texts";
import { Bar, Button, Card, Field, Notice } from "./ui";

/** What who is not signed in sees. */
export function SignIn(p: { session: Session; title: string }) {
  const [code, setCode] = useState("");
  const enter = () => void (code.trim() && p.session.enter(code.trim()));
  const refused = p.session.refused.value;
  return (
    <>
      <Bar name={p.title} />
      <main class="column">
        <h1>{t.signIn.go}</h1>
        {refused && <Notice tone="bad">{t.problems[refused]}</Notice>}
        <Card>
          <p class="soft">{t.signIn.how}</p>
          <form
            class="stack"
            onSubmit={(e) => {
              e.preventDefault();
              enter();
            }}
          >
            <Field label={t.signIn.code} type="password" autocomplete="off" value={code} onInput={(e) => setCode(e.currentTarget.value)} />
            <Button full busy={p.session.state.value === "entering"} onClick={enter}>
              {p.session.state.value === "entering" ? t.signIn.going : t.signIn.go}
            </Button>
          </form>
        </Card>
      </main>
    </>
  );
}
