import { money, when } from "../lib/format";
import { t } from "../texts";
import { Wait } from "../ui/ui";
import * as model from "./model";
import { Now } from "./now";
import { Face, Place, Stars, State } from "./parts";
import { to } from "./route";
import type { Schema } from "../lib/api";

const words = t.client.list;

/** All advisors, and what goes on for the client now. */
export function Advisors() {
  const list = model.advisors.value;
  return (
    <Place title={words.title} wide>
      <Now />
      {!list && !model.problem.value && (
        <p class="across row soft" role="status">
          <Wait /> {t.common.wait}
        </p>
      )}
      {list?.length === 0 && <p class="across soft">{words.none}</p>}
      <ul class="across advisors">
        {list?.map((a) => (
          <li key={a.id}>
            <One advisor={a} />
          </li>
        ))}
      </ul>
    </Place>
  );
}

function One(p: { advisor: Schema["Advisor"] }) {
  const a = p.advisor;
  return (
    <article class="card advisor">
      <div class="row">
        <Face advisor={a} />
        <div class="grow">
          <h2>
            <a href={to.advisor(a.id)}>{a.name}</a>
          </h2>
          <Stars advisor={a} />
        </div>
        <State advisor={a} />
      </div>
      {a.words && <p class="words">{a.words}</p>}
      <p class="row between">
        <strong class="digits">{words.perMinute(money(a.price.per_minute, a.price.currency))}</strong>
        <span class="soft">{a.state === "away" ? a.next_at && words.next(when(a.next_at)) : a.topics.slice(0, 2).join(", ")}</span>
      </p>
    </article>
  );
}
