import { length } from "../lib/format";
import { t } from "../texts";
import { Avatar, Card, Chip } from "../ui/ui";
import * as day from "./day";
import { Loaded, Ticking } from "./parts";

const words = t.app.queue;

/** Who waits, in their order, and for how long already. */
export function Queue() {
  const count = day.queue.value.value?.length ?? 0;
  return (
    <Card title={words.title} aside={count > 0 && <Chip tone="warn">{String(count)}</Chip>}>
      <Loaded of={day.queue}>
        {(waits) =>
          waits.length === 0 ? <p class="soft">{words.nobody}</p> : (
            <ol class="list">
              {waits.map((w) => (
                <li class="row" key={w.id}>
                  <Avatar name={w.alias} />
                  <div class="grow">
                    <strong class="block">{w.alias || t.app.call.client}</strong>
                    {w.topic && <span class="block soft">{t.app.call.about(w.topic)}</span>}
                    <span class="block soft">{words.modes[w.mode]}</span>
                  </div>
                  {w.state === "turn" ? <Chip tone="good">{words.turn}</Chip> : <Ticking>{(now) => words.waits(rough((now - Date.parse(w.since)) / 1000))}</Ticking>}
                </li>
              ))}
            </ol>
          )
        }
      </Loaded>
    </Card>
  );
}

/** A minute and more is told by the minute. */
const rough = (seconds: number) => length(seconds < 60 ? Math.max(0, Math.floor(seconds)) : seconds - (seconds % 60));
