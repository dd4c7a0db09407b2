import { t } from "../texts";
import { Card, Notice } from "../ui/ui";
import { Choice, Trouble, useAct } from "./parts";
import * as push from "./push";

const words = t.app.push;

/** Whether the advisor is told while the app is closed. */
export function PushCard() {
  const act = useAct();
  const told = push.told.value;
  if (told === "no") return null;
  return (
    <Card title={words.title}>
      {told === "denied" ? (
        <Notice tone="info">{words.denied}</Notice>
      ) : (
        <Choice on={told === "on"} label={words.label} hint={words.hint} onChange={(on) => void act.run(on ? push.turnOn : push.turnOff)} />
      )}
      <Trouble problem={act.problem} />
    </Card>
  );
}
