import { useSignal } from "@preact/signals";
import { useEffect, useId } from "preact/hooks";
import { date } from "../lib/format";
import { t } from "../texts";
import { Icon, type IconName } from "../ui/icon";
import { Avatar, Bar, Button, Card, Chip, Notice, Switch } from "../ui/ui";
import { Agreed, Reminder, Requests } from "./appointments";
import { CallSheet } from "./call-sheet";
import * as day from "./day";
import { GreetingCard } from "./greeting";
import { HoursCard } from "./hours";
import * as app from "./model";
import { FaceCard, PriceCard } from "./offer";
import { Past } from "./past";
import { PushCard } from "./push-card";
import { Queue } from "./queue";
import { VerificationSheet } from "./verification-sheet";

const places = { today: "calendar", past: "wallet", me: "user" } as const satisfies Record<string, IconName>;
type Place = keyof typeof places;

const here = (): Place => (Object.keys(places).includes(location.hash.slice(1)) ? (location.hash.slice(1) as Place) : "today");

/** The app's page: today, what is past, and what the advisor has set. */
export function Home() {
  const advisor = app.advisor.value;
  const call = app.phone.value?.call.value;
  const place = useSignal(here());
  useEffect(() => {
    const went = () => {
      place.value = here();
      scrollTo(0, 0);
    };
    addEventListener("hashchange", went);
    return () => removeEventListener("hashchange", went);
  }, []);
  const waiting = day.requests.value.length;
  useEffect(() => void (document.title = waiting ? `(${waiting}) ${t.signIn.advisor}` : t.signIn.advisor), [waiting]);
  return (
    <>
      <Bar name={t.app.name}>
        {advisor && <span class="soft cut">{advisor.name}</span>}
        <Button kind="bare" icon="signout" onClick={() => void app.signOut()}>
          <span class="unseen">{t.common.signOut}</span>
        </Button>
      </Bar>
      <Places now={place.value} />
      <main class="column wide with-places">
        <h1 class="unseen">{t.app.places[place.value]}</h1>
        <div class="across stack" aria-live="polite">
          <Said />
          <Reminder />
        </div>
        {place.value === "today" && <Today />}
        {place.value === "past" && <Past />}
        {place.value === "me" && <Mine />}
      </main>
      {app.verification.value ? <VerificationSheet /> : call && <CallSheet call={call} />}
    </>
  );
}

/** The way between the places: at the bottom of a phone, on top of a desk. */
function Places(p: { now: Place }) {
  const count = day.requests.value.length;
  return (
    <nav class="places" aria-label={t.app.placesName}>
      {(Object.keys(places) as Place[]).map((place) => (
        <a key={place} href={`#${place}`} aria-current={p.now === place ? "page" : undefined}>
          <Icon name={places[place]} />
          <span>{t.app.places[place]}</span>
          {place === "today" && count > 0 && (
            <span class="count">
              {count}
              <span class="unseen"> {t.app.appointments.requests}</span>
            </span>
          )}
        </a>
      ))}
    </nav>
  );
}

function Today() {
  return (
    <>
      <div class="stack">
        <Presence />
        <Requests />
        <Agreed />
      </div>
      <div class="stack">
        <Queue />
        {!app.verified.value && <YourPhone />}
      </div>
    </>
  );
}

function Mine() {
  return (
    <>
      <div class="stack">
        <FaceCard />
        <HoursCard />
      </div>
      <div class="stack">
        <PriceCard />
        <GreetingCard />
        <YourPhone />
        <PushCard />
      </div>
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
  const words = t.app.presence;
  const onHint = app.elsewhere.value ? words.onOtherWindow : app.verified.value ? words.onHint : words.onElsewhere;
  return (
    <section class={`card presence ${on ? "on" : ""}`}>
      <div class="row">
        <Avatar name={app.advisor.value?.name ?? ""} />
        <div class="grow">
          <h2 id={label}>{on ? words.on : words.off}</h2>
          <p class="soft">{!can ? words.first : on ? onHint : words.offHint}</p>
        </div>
        {can && <Switch on={on} labelledBy={label} onChange={(wanted) => void (wanted ? app.goOnLine() : app.goOffLine())} />}
      </div>
      {on && app.verified.value && !app.elsewhere.value && <Registered />}
    </section>
  );
}

/** How the phone stands, where that is not as it should be. */
function Registered() {
  const state = app.phone.value?.registration.value ?? "off";
  if (state === "ready") return null;
  const words = { off: t.app.phone.trouble, connecting: t.app.phone.connecting, lost: t.app.phone.lost, refused: t.app.phone.refused };
  return (
    <Notice
      tone={state === "connecting" ? "info" : "warn"}
      action={state === "off" && <Button kind="plain" onClick={() => void app.goOnLine()}>{t.app.phone.connect}</Button>}
    >
      {words[state]}
    </Notice>
  );
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
