import { useEffect, useId, useState } from "preact/hooks";
import type { Problem, Schema } from "../lib/api";
import { length, money, number, shortLength, when } from "../lib/format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Button, Sheet, Wait } from "../ui/ui";
import { AddMoney } from "./add-money";
import * as model from "./model";
import { Countdown, explain, Face, Facts, Head, Lost, Said } from "./parts";
import { go, to } from "./route";
import * as talk from "./talk";

const words = t.client.talk;

/** A talk that was asked for: its number, or what is in the way. */
export function TalkSheet(p: { step: talk.Step }) {
  const wanted = talk.wanted.value;
  if (!wanted) return null;
  const { step } = p;
  return (
    <Sheet name={words.yourNumber(wanted.name)}>
      {step.at === "asking" && (
        <div class="middle">
          <Wait />
          <p role="status">{words.asking}</p>
        </div>
      )}
      {step.at === "number" && <Number talk={step.talk} turn={step.turn} />}
      {step.at === "short" && <Short problem={step.problem} />}
      {step.at === "busy" && <Busy problem={step.problem} />}
      {step.at === "refused" && <Refused problem={step.problem} />}
      {step.at === "over" && <Over takenBack={step.takenBack} />}
      <Lost />
    </Sheet>
  );
}

const advisorOf = (id: string, name: string) => model.advisors.value?.find((a) => a.id === id) ?? { name };

function Number(p: { talk: Schema["Talk"]; turn: boolean }) {
  const { advisor, price, seconds, until, pin } = p.talk;
  const dial = p.talk.number ?? "";
  const [leaving, setLeaving] = useState(false);
  useEffect(() => {
    if (!p.turn) return;
    const before = document.title;
    document.title = t.client.wait.turnTitle; // perhaps another tab is looked at
    return () => void (document.title = before);
  }, [p.turn]);
  return (
    <>
      <div class="middle spread">
        <Face advisor={advisorOf(advisor.id, advisor.name)} large />
        <Head>{p.turn ? t.client.wait.turn(advisor.name) : words.yourNumber(advisor.name)}</Head>
        <a class="button good full dial" href={p.talk.tel ?? ""} aria-label={words.call(number(dial))}>
          <Icon name="phone" />
          <span class="number digits">{number(dial)}</span>
        </a>
        <p>
          {words.works} <Countdown until={until} over={talk.expired} />
        </p>
        <p class="soft">
          {t.client.list.perMinute(money(price.per_minute, price.currency))}. {words.buys(length(seconds))}
        </p>
        {pin && (
          <p class="pin">
            <span class="soft">{words.pin}</span> <strong class="digits" aria-label={[...pin].join(" ")}>{pin}</strong>
          </p>
        )}
        <section class="expect">
          <h3>{words.expect}</h3>
          <ol>
            {words.steps.map((step) => (
              <li key={step}>{step}</li>
            ))}
          </ol>
        </section>
      </div>
      <Button
        kind="plain"
        full
        busy={leaving}
        onClick={() => {
          setLeaving(true);
          void talk.giveUp();
        }}
      >
        {words.cancel}
      </Button>
    </>
  );
}

/** Money is added right here, and the same request goes on. */
function Short(p: { problem: Problem }) {
  const { missing = 0, available = 0, currency = model.currency.value } = p.problem.said;
  const wanted = talk.wanted.value;
  const advisor = model.advisors.value?.find((a) => a.id === wanted?.advisor);
  return (
    <>
      <div class="middle spread">
        <span class="avatar large"><Icon name="wallet" /></span>
        <Head>{t.client.short.title}</Head>
        <p>{t.client.short.need(length(advisor?.least_seconds ?? 0), money(missing + available, currency), wanted?.name ?? "")}</p>
        <div class="wide">
          <Facts
            facts={[[t.client.short.have, money(available, currency)]]}
            sum={[t.client.short.missing, money(missing, currency)]}
          />
        </div>
        <div class="wide">
          <AddMoney missing={missing} done={() => void talk.askAgain()} />
        </div>
        <p class="soft">{t.client.short.back}</p>
      </div>
      <Button kind="plain" full onClick={talk.dismiss}>{t.common.cancel}</Button>
    </>
  );
}

/** The advisor cannot talk now: what the client can do instead. */
function Busy(p: { problem: Problem }) {
  const [joining, setJoining] = useState("");
  const [refused, refuse] = useState<Problem | null>(null);
  const wanted = talk.wanted.value;
  const { choices = [], code, next_at } = p.problem.said;
  const has = (kind: string) => choices?.find((c) => c.kind === kind);
  const queue = has("queue") ?? has("call_back");
  const name = wanted?.name ?? "";
  const title = code === "queue_full" ? t.client.busy.full : code === "advisor_away" ? t.client.busy.away : t.client.busy.title;
  const join = async (mode: "page" | "call_back") => {
    setJoining(mode);
    const problem = await talk.join(mode);
    setJoining("");
    if (problem?.code === "advisor_free") return talk.askAgain();
    refuse(problem);
    if (!problem) go(to.advisors);
  };
  return (
    <>
      <div class="middle spread">
        <Face advisor={advisorOf(wanted?.advisor ?? "", name)} large />
        <Head>{title(name)}</Head>
        {queue?.place && (
          <p>{queue.after ? t.client.busy.place(queue.place, shortLength(queue.after)) : t.client.busy.placeUnknown(queue.place)}</p>
        )}
        {next_at && <p>{t.client.advisor.away(when(next_at))}</p>}
        {refused && <Said problem={refused} />}
        <div class="wide stack" role="group" aria-label={t.client.busy.what}>
          {has("queue") && <Way icon="clock" name={t.client.busy.wait} hint={t.client.busy.waitHint} busy={joining === "page"} onClick={() => void join("page")} />}
          {has("call_back") && <Way icon="phone" name={t.client.busy.callBack} hint={t.client.busy.callBackHint} busy={joining === "call_back"} onClick={() => void join("call_back")} />}
          <Way
            icon="calendar"
            name={t.client.busy.time}
            hint={t.client.busy.timeHint}
            onClick={() => {
              talk.dismiss();
              go(to.time(wanted?.advisor ?? ""));
            }}
          />
        </div>
      </div>
      <Button kind="plain" full onClick={talk.dismiss}>{t.common.cancel}</Button>
    </>
  );
}

function Way(p: { icon: "clock" | "phone" | "calendar"; name: string; hint: string; busy?: boolean; onClick: () => void }) {
  const hint = useId();
  return (
    <div class="way">
      {p.busy ? <Wait /> : <Icon name={p.icon} />}
      <div>
        <button type="button" aria-disabled={p.busy ? "true" : undefined} aria-describedby={hint} onClick={() => p.busy || p.onClick()}>
          {p.name}
        </button>
        <small id={hint}>{p.hint}</small>
      </div>
      <Icon name="next" />
    </div>
  );
}

function Refused(p: { problem: Problem }) {
  const { title, text } = explain(p.problem);
  const other = p.problem.said.talk;
  return (
    <>
      <div class="middle">
        <span class="avatar large trouble"><Icon name="alert" /></span>
        <h2>{title}</h2>
        <p role="alert">{text}</p>
      </div>
      <div class="stack">
        {other && <Button full onClick={() => void talk.showOther(other)}>{t.client.wait.show}</Button>}
        {p.problem.code === "cap_reached" && (
          <Button
            full
            onClick={() => {
              talk.dismiss();
              go(to.account);
            }}
          >
            {t.client.nav.toAccount}
          </Button>
        )}
        {!other && p.problem.code !== "cap_reached" && <Button full onClick={() => void talk.askAgain()}>{t.common.again}</Button>}
        <Button kind="plain" full onClick={talk.dismiss}>{t.common.close}</Button>
      </div>
    </>
  );
}

function Over(p: { takenBack: boolean }) {
  return (
    <>
      <div class="middle">
        <span class="avatar large"><Icon name="clock" /></span>
        <h2>{words.expired}</h2>
        <p role="status">{p.takenBack ? words.takenBack : words.expiredText}</p>
      </div>
      <div class="stack">
        <Button full onClick={() => void talk.askAgain()}>{words.again}</Button>
        <Button kind="plain" full onClick={talk.dismiss}>{t.common.close}</Button>
      </div>
    </>
  );
}

