import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { API, type Problem, type Schema } from "../lib/api";
import { t } from "../texts";
import { Bar, Button, Card, Field, Notice, Wait } from "../ui/ui";
import { SignIn } from "../ui/sign-in";
import { asProblem, session } from "./model";
import { Said } from "./parts";

const words = t.client.signIn;
const anyone = new API("", () => {});

/** Who is not signed in: by a code to their telephone, by the site, or by a link. */
export function SignInPage() {
  const ways = useSignal<Schema["SignInWays"] | null>(null);
  const problem = useSignal<Problem | null>(null);
  const look = () =>
    anyone.get("/v1/sign-in").then(
      (w) => {
        ways.value = w;
        problem.value = null;
      },
      (e) => void (problem.value = asProblem(e)),
    );
  useEffect(() => void look(), []);
  const { refused, state } = session;
  if (ways.value && !ways.value.code && !ways.value.site) return <SignIn session={session} title={t.signIn.client} />;
  return (
    <>
      <Bar name={t.client.name} />
      <main class="column">
        <h1>{t.signIn.go}</h1>
        {refused.value && <Notice tone="bad">{t.problems[refused.value]}</Notice>}
        {problem.value && <Said problem={problem.value} action={<Button kind="plain" onClick={() => void look()}>{t.common.again}</Button>} />}
        {(state.value === "entering" || (!ways.value && !problem.value)) && <p class="row soft" role="status"><Wait /> {t.common.wait}</p>}
        {ways.value?.code && <ByCode />}
        {ways.value?.site && (
          <Card title={words.site}>
            <p class="soft">{words.siteText}</p>
            <a class="button plain full" href={ways.value.site}>{words.toSite}</a>
          </Card>
        )}
      </main>
    </>
  );
}

/** First the number, then the code that was sent to it. */
function ByCode() {
  const phone = useSignal("");
  const code = useSignal("");
  const stay = useSignal(true);
  const asked = useSignal<Schema["SignIn"] | null>(null);
  const busy = useSignal(false);
  const problem = useSignal<Problem | null>(null);
  const field = useRef<HTMLDivElement>(null);
  useEffect(() => field.current?.querySelector("input")?.focus(), [asked.value?.id]);

  const act = async (what: () => Promise<void>) => {
    if (busy.value) return;
    busy.value = true;
    problem.value = null;
    try {
      await what();
    } catch (e) {
      problem.value = asProblem(e);
    }
    busy.value = false;
  };
  const ask = () =>
    act(async () => {
      asked.value = await anyone.post("/v1/sign-ins", { body: { phone: phone.value.trim() } });
      code.value = "";
    });
  const enter = (digits: string) =>
    act(async () => {
      const id = asked.value?.id;
      if (!id || digits.length !== 6) return;
      const made = await anyone.post("/v1/sign-ins/{id}/session", { path: { id }, body: { code: digits, stay: stay.value } });
      session.take(made, stay.value);
    });
  const typed = (text: string) => {
    code.value = text.replace(/\D/g, "").slice(0, 6);
    if (code.value.length === 6) void enter(code.value);
  };
  const over = problem.value?.code === "code_over";

  if (!asked.value) {
    return (
      <Card>
        <p class="soft">{words.how}</p>
        <form
          class="stack"
          onSubmit={(e) => {
            e.preventDefault();
            void ask();
          }}
        >
          <div ref={field}>
            <Field label={words.phone} hint={words.phoneHint} type="tel" autocomplete="tel" value={phone.value} onInput={(e) => (phone.value = e.currentTarget.value)} />
          </div>
          <label class="row tick">
            <input type="checkbox" checked={stay.value} onChange={(e) => (stay.value = e.currentTarget.checked)} />
            <span>
              {words.stay}
              <small>{words.stayHint}</small>
            </span>
          </label>
          {problem.value && <Said problem={problem.value} />}
          <Button full busy={busy.value} off={phone.value.trim().length < 4} onClick={() => void ask()}>{words.send}</Button>
        </form>
      </Card>
    );
  }
  return (
    <Card title={words.sent}>
      <p class="soft" role="status">{words.sentText(phone.value.trim())}</p>
      <form
        class="stack"
        onSubmit={(e) => {
          e.preventDefault();
          void enter(code.value);
        }}
      >
        <div ref={field} class="code-field">
          <Field label={words.code} inputMode="numeric" autocomplete="one-time-code" maxLength={7} value={code.value} onInput={(e) => typed(e.currentTarget.value)} />
        </div>
        {problem.value && <Said problem={problem.value} />}
        {!over && <Button full busy={busy.value} off={code.value.length !== 6} onClick={() => void enter(code.value)}>{t.signIn.go}</Button>}
        <div class="row wrap between">
          <Button kind="bare" onClick={() => void ask()}>{words.another}</Button>
          <Button
            kind="bare"
            onClick={() => {
              asked.value = null;
              problem.value = null;
            }}
          >
            {words.otherPhone}
          </Button>
        </div>
      </form>
    </Card>
  );
}
