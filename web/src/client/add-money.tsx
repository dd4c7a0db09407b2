import { useEffect, useRef, useState } from "preact/hooks";
import { newKey, Problem } from "../lib/api";
import { money } from "../lib/format";
import { t } from "../texts";
import { Button, Notice } from "../ui/ui";
import { lookAtCall } from "./call";
import * as model from "./model";
import { Choose, Said } from "./parts";
import { amounts } from "./price";

const words = t.client.money;

/** Adds money with what the client has saved, or leads to where else it is paid. */
export function AddMoney(p: { missing?: number; done?: () => void }) {
  const currency = model.currency.value;
  const options = amounts(currency, p.missing);
  const [amount, choose] = useState(options[p.missing ? 0 : 1] ?? 0);
  const [state, become] = useState<"" | "paying" | "asked" | "paid">("");
  const [refused, refuse] = useState<Problem | null>(null);
  const key = useRef(newKey());

  // What was asked for and not answered yet is told by an event.
  const asked = useRef("");
  const answered = model.answered.value;
  useEffect(() => {
    if (!answered || answered.payment !== asked.current) return;
    asked.current = "";
    become(answered.paid ? "paid" : "");
    if (!answered.paid) refuse(new Problem(402, "payment_declined"));
  }, [answered, state]);

  const pay = async () => {
    become("paying");
    refuse(null);
    try {
      const answer = await model.api().post("/v1/clients/{id}/top-ups", { path: { id: model.session.owner.value }, body: { amount }, key: key.current });
      key.current = newKey();
      await Promise.all([model.lookAtMe(), lookAtCall()]);
      asked.current = answer.state === "asked" ? answer.payment : "";
      become(answer.state === "paid" ? "paid" : "asked");
      if (answer.state === "paid") p.done?.();
    } catch (e) {
      const problem = model.asProblem(e);
      if (problem.status !== 0) key.current = newKey(); // what was not answered is asked again
      become("");
      refuse(problem);
    }
  };

  const link = refused?.said.top_up;
  const elsewhere = refused && (refused.code === "no_payment_method" || refused.code === "payments_off");
  return (
    <div class="stack">
      <Choose
        label={words.how}
        value={amount}
        onChange={(a) => {
          choose(a);
          refuse(null);
          become("");
        }}
        options={options.map((value) => ({ value, name: money(value, currency) }))}
      />
      {refused && !(elsewhere && link) && <Said problem={refused} />}
      {link && (
        <>
          <a class="button full" href={link} target="_blank" rel="noopener">
            {elsewhere ? words.link(money(amount, currency)) : words.other}
          </a>
          <p class="soft" role="status">{words.linkHint}</p>
        </>
      )}
      {state === "paid" && <Notice tone="good">{words.added(money(amount, currency))}</Notice>}
      {state === "asked" && <Notice tone="info">{words.asked}</Notice>}
      {!(elsewhere && link) && (
        <Button full icon="plus" busy={state === "paying"} onClick={() => void pay()}>
          {state === "paying" ? words.paying : words.add(money(amount, currency))}
        </Button>
      )}
    </div>
  );
}
