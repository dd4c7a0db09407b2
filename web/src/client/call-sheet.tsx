import { useState } from "preact/hooks";
import { clock } from "../lib/format";
import { t } from "../texts";
import { Button, Notice, Sheet, Wait } from "../ui/ui";
import { AddMoney } from "./add-money";
import { type Call, callSeen, talked } from "./call";
import * as model from "./model";
import { Face, Head, Lost, useSeconds } from "./parts";
import { Receipt } from "./receipt";

const words = t.client.call;

/** The client's call, from its opening to its receipt. */
export function CallSheet(p: { call: Call }) {
  const { call } = p;
  const ended = call.receipt?.state === "ended";
  return (
    <Sheet name={words.name}>
      {ended && call.receipt ? <Over call={call} /> : <Going call={call} />}
      <Lost />
    </Sheet>
  );
}

function Going(p: { call: Call }) {
  const [adding, add] = useState(false);
  const [ending, end] = useState<"" | "going" | "failed">("");
  const hangUp = async () => {
    end("going");
    const done = await model.api().post("/v1/calls/{id}/hang-up", { path: { id: p.call.id } }).then(() => true, () => false);
    if (!done) end("failed"); // else the receipt comes
  };
  const { call } = p;
  const named = call.receipt?.advisor;
  const name = named?.name ?? "";
  const advisor = model.advisors.value?.find((a) => a.id === named?.id) ?? { name };
  return (
    <>
      <div class="middle">
        {!adding && <Face advisor={advisor} large pulse={!call.since} />}
        <Head>{call.since ? words.talking(name) : words.ringing(name)}</Head>
        {call.since ? <Times call={call} /> : <p class="soft">{words.ringingHint}</p>}
        {adding && (
          <section class="wide card sunken" aria-label={t.client.money.title}>
            <AddMoney />
          </section>
        )}
      </div>
      <div class="stack">
        {ending === "failed" && <Notice tone="warn">{words.hangUpFailed}</Notice>}
        <Button kind={adding ? "plain" : "main"} full icon={adding ? "close" : "plus"} onClick={() => add(!adding)}>
          {adding ? words.hideAdd : words.add}
        </Button>
        {!adding && <Button kind="bad" full icon="hangup" busy={ending === "going"} onClick={() => void hangUp()}>{words.hangUp}</Button>}
      </div>
    </>
  );
}

const nearTheEnd = 30_000; // ms

function Times(p: { call: Call }) {
  useSeconds();
  const gone = talked(p.call);
  const left = p.call.longest * 1000 - gone;
  return (
    <dl class="times">
      <div>
        <dt>{words.talked}</dt>
        <dd>
          <span role="timer" aria-live="off" aria-label={words.talked}>{clock(gone)}</span>
        </dd>
      </div>
      {p.call.longest > 0 && (
        <div class={left < nearTheEnd ? "near" : ""}>
          <dt>{words.left}</dt>
          <dd>
            <span class="left" role="timer" aria-live="off" aria-label={words.left}>{clock(left)}</span>
          </dd>
        </div>
      )}
    </dl>
  );
}

function Over(p: { call: Call }) {
  const receipt = p.call.receipt;
  if (!receipt) return <Wait />;
  const { advisor, segments } = receipt;
  return (
    <>
      <div class="middle spread">
        <Face advisor={model.advisors.value?.find((a) => a.id === advisor.id) ?? advisor} large />
        <Head>{segments.length ? t.client.receipt.thanks : t.client.receipt.noTalk}</Head>
        <div class="wide">
          <Receipt receipt={receipt} />
        </div>
      </div>
      <Button full onClick={callSeen}>{t.client.receipt.done}</Button>
    </>
  );
}
