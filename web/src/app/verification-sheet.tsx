import type { ComponentChildren } from "preact";
import { length } from "../lib/format";
import { t } from "../texts";
import { Icon } from "../ui/icon";
import { Button, Keypad, Notice, Sheet, Wait } from "../ui/ui";
import * as app from "./model";

const words = t.app.verification;

/** The verification call, from its request to its result. */
export function VerificationSheet() {
  const v = app.verification.value;
  if (!v) return null;
  return (
    <Sheet name={words.title}>
      <h2>{words.title}</h2>
      {v.state === "preparing" && <Middle><Wait /><p role="status">{words.preparing}</p></Middle>}
      {v.state === "calling" && <Calling code={v.code} />}
      {v.state === "verified" && (
        <Middle>
          <span class="avatar large done"><Icon name="shield" /></span>
          <h3>{words.verified}</h3>
          <p class="soft" role="status">{words.verifiedText}</p>
        </Middle>
      )}
      {v.state === "microphone" && <Notice tone="bad">{t.app.microphone[app.phone.value?.microphone.permission.value === "missing" ? "missing" : "denied"]}</Notice>}
      {v.state === "no_registration" && <Notice tone="bad">{app.elsewhere.value ? t.app.elsewhere.title : words.noRegistration}</Notice>}
      {v.state === "too_many" && <Notice tone="warn">{words.tooMany(length(v.after))}</Notice>}
      {(v.state === "failed" || v.state === "expired") && <Notice tone="bad">{v.state === "expired" ? words.expired : words.failedText}</Notice>}
      <Ways state={v.state} />
    </Sheet>
  );
}

const Middle = (p: { children: ComponentChildren }) => <div class="middle">{p.children}</div>;

/** The code, and the call in which it is keyed. */
function Calling(p: { code: string }) {
  const phone = app.phone.value;
  const call = phone?.call.value;
  const up = call?.phase === "up";
  return (
    <>
      <div class="middle tight">
        <p class="soft">{words.code}</p>
        <p class="code" aria-label={`${words.code}: ${[...p.code].join(" ")}`}>
          <span>{p.code.slice(0, 3)}</span>
          <span>{p.code.slice(3)}</span>
        </p>
        <p role="status">{up ? words.keyIt : call?.phase === "joining" ? words.answering : words.calling}</p>
      </div>
      {up ? (
        <Keypad name={t.common.keypad} names={{ "*": t.common.star, "#": t.common.hash }} onKey={(key) => phone?.key(key)} />
      ) : (
        call?.phase === "ringing" && <Button kind="good" icon="phone" full onClick={() => void phone?.answer()}>{words.answer}</Button>
      )}
    </>
  );
}

function Ways(p: { state: app.Verification["state"] }) {
  if (p.state === "verified") {
    return (
      <div class="stack">
        {!app.onLine.value && (
          <Button kind="good" full onClick={() => void app.goOnLine().then(app.endVerification)}>{words.goOnLine}</Button>
        )}
        <Button kind="plain" full onClick={app.endVerification}>{app.onLine.value ? t.common.done : words.later}</Button>
      </div>
    );
  }
  const over = p.state !== "preparing" && p.state !== "calling";
  return (
    <div class="stack">
      {over && p.state !== "too_many" && <Button full onClick={() => void app.verify()}>{t.common.again}</Button>}
      <Button kind="plain" full onClick={app.endVerification}>{over ? t.common.close : t.common.cancel}</Button>
    </div>
  );
}
