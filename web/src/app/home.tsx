import { useId } from "preact/hooks";
import { date } from "../lib/format";
import { t } from "../texts";
import { Avatar, Bar, Button, Card, Chip, Notice, Switch } from "../ui/ui";
import { CallSheet } from "./call-sheet";
import * as app from "./model";
import { VerificationSheet } from "./verification-sheet";

/** The app's first page: whether clients can call, and where it rings. */
export function Home() {
  const advisor = app.advisor.value;
  const call = app.phone.value?.call.value;
  return (
    <>
      <Bar name={t.app.name}>
        {advisor && <span class="soft">{advisor.name}</span>}
        <Button kind="bare" icon="signout" onClick={() => void app.signOut()}>
          <span class="unseen">{t.common.signOut}</span>
        </Button>
      </Bar>
      <main class="column wide">
        <div class="across stack" aria-live="polite">
          <Said />
        </div>
        <div class="stack">
          <h1 class="unseen">{t.app.page}</h1>
          <Presence />
        </div>
        <div class="stack">
          <YourPhone />
        </div>
      </main>
      {app.verification.value ? <VerificationSheet /> : call && <CallSheet call={call} />}
    </>
  );
}

/** What has gone wrong and what becomes of it. */
function Said() {
  const phone = app.phone.value;
  const microphone = phone?.microphone.permission.value;
  return (
    <>
      {app.connection.value === "lost" && <Notice tone="warn">{t.common.lost}</Notice>}
      {app.problem.value && <Notice tone="bad">{t.problems[app.problem.value]}</Notice>}
      {(microphone === "denied" || microphone === "missing") && <Notice tone="bad">{t.app.microphone[microphone]}</Notice>}
      {app.elsewhere.value && (
        <Notice
          tone="warn"
          action={<Button kind="plain" onClick={() => void app.goOnLine(true)}>{t.app.elsewhere.here}</Button>}
        >
          <strong>{t.app.elsewhere.title}.</strong> {t.app.elsewhere.text}
        </Notice>
      )}
    </>
  );
}

function Presence() {
  const label = useId();
  const on = app.onLine.value;
  const can = app.verified.value || app.otherPhone.value;
  const hint = !can ? t.app.presence.first : !on ? t.app.presence.offHint : app.verified.value ? t.app.presence.onHint : t.app.presence.onElsewhere;
  return (
    <section class={`card presence ${on ? "on" : ""}`}>
      <div class="row">
        <Avatar name={app.advisor.value?.name ?? ""} />
        <div class="grow">
          <h2 id={label}>{on ? t.app.presence.on : t.app.presence.off}</h2>
          <p class="soft">{hint}</p>
        </div>
        {can && <Switch on={on} labelledBy={label} onChange={(wanted) => void (wanted ? app.goOnLine() : app.goOffLine())} />}
      </div>
      {on && app.verified.value && <Registered />}
    </section>
  );
}

/** How the phone stands, where that is not as it should be. */
function Registered() {
  const state = app.phone.value?.registration.value ?? "off";
  if (state === "ready") return null;
  const words = { off: t.app.phone.trouble, connecting: t.app.phone.connecting, lost: t.app.phone.lost, refused: t.app.phone.refused };
  return <Notice tone={state === "connecting" ? "info" : "warn"}>{words[state]}</Notice>;
}

function YourPhone() {
  const line = app.mine.value;
  const words = line?.verified_at ? `${t.app.phone.ready} ${t.app.phone.since(date(line.verified_at))}` : app.otherPhone.value ? t.app.phone.elsewhere : t.app.phone.none;
  return (
    <Card
      title={t.app.phone.title}
      aside={line?.verified_at ? <Chip tone="good" icon="shield">{t.app.phone.verified}</Chip> : <Chip>{t.app.phone.notVerified}</Chip>}
    >
      <p class="soft">{words}</p>
      <Button kind={line?.verified_at || app.otherPhone.value ? "plain" : "main"} icon="phone" full onClick={() => void app.verify()}>
        {line?.verified_at ? t.app.phone.verifyAgain : t.app.phone.use}
      </Button>
    </Card>
  );
}
