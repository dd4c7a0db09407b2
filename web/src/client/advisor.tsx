import { useEffect, useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { length, money, shortLength, when } from "../lib/format";
import { language, t } from "../texts";
import { Icon } from "../ui/icon";
import { Button, Card, Chip, Notice, Wait } from "../ui/ui";
import * as model from "./model";
import { Now } from "./now";
import { Face, Facts, Hinted, Place, Stars, State } from "./parts";
import { buys } from "./price";
import { to } from "./route";
import { askForTalk, step } from "./talk";

const words = t.client.advisor;
const back = { to: to.advisors, name: t.client.nav.back };

/** One advisor: who they are, what it costs, and the ways to a talk. */
export function AdvisorPage(p: { id: string }) {
  const [profile, setProfile] = useState<Schema["AdvisorProfile"] | null>(null);
  const [gone, setGone] = useState(false);
  const known = model.advisors.value?.find((a) => a.id === p.id);
  const looked = model.looked.value;
  useEffect(() => {
    let wanted = true;
    model.api().get("/v1/advisors/{id}", { path: { id: p.id } }).then(
      (a) => {
        if (!wanted) return;
        setProfile(a);
        model.learn(a);
      },
      (e) => wanted && setGone(model.asProblem(e).code === "not_found"),
    );
    return () => void (wanted = false);
  }, [p.id, looked]);

  const a = known ?? profile;
  if (!a) {
    return (
      <Place title={gone ? t.client.problems.not_found.title : t.common.wait} back={back}>
        {gone ? <Notice tone="bad">{words.gone}</Notice> : <Wait />}
      </Place>
    );
  }
  return (
    <Place title={a.name} back={back} wide>
      <Now />
      <About advisor={a} />
      <Talk advisor={a} wait={a.state === "busy" ? profile?.wait_at_most : undefined} />
    </Place>
  );
}

function About(p: { advisor: Schema["Advisor"] }) {
  const a = p.advisor;
  const names = new Intl.DisplayNames(language, { type: "language" });
  return (
    <Card>
      <div class="row top">
        <Face advisor={a} large />
        <div class="grow stack small">
          <div>
            <State advisor={a} />
          </div>
          <Stars advisor={a} />
          {a.languages.length > 0 && (
            <p>
              <span class="soft">{words.speaks}</span> {a.languages.map((code) => names.of(code) ?? code).join(", ")}
            </p>
          )}
        </div>
      </div>
      {a.words && <p class="whole">{a.words}</p>}
      {a.topics.length > 0 && (
        <>
          <h2 class="unseen">{words.topics}</h2>
          <ul class="chips">
            {a.topics.map((topic) => (
              <li key={topic}>
                <Chip>{topic}</Chip>
              </li>
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}

function Talk(p: { advisor: Schema["Advisor"]; wait: number | undefined }) {
  const [topic, setTopic] = useState("");
  const a = p.advisor;
  return (
    <Card title={words.cost}>
      <Price advisor={a} />
      <p class="soft">{words.onlyTalk}</p>
      {a.state !== "away" && (
        <>
          <Hinted label={words.topic} hint={words.topicHint} maxLength={80} value={topic} onInput={(e) => setTopic(e.currentTarget.value)} />
          <Button full icon="phone" busy={step.value?.at === "asking"} onClick={() => void askForTalk(a, topic)}>
            {a.state === "free" ? words.talk : words.tryIt}
          </Button>
        </>
      )}
      <p class="soft quiet" role="status">
        {a.state === "away" && (a.next_at ? words.away(when(a.next_at)) : words.awayNow)}
        {a.state === "busy" && p.wait !== undefined && words.wait(shortLength(p.wait))}
      </p>
      <a class={`button full ${a.state === "away" ? "" : "plain"}`} href={to.time(a.id)}>
        <Icon name="calendar" />
        {words.time}
      </a>
    </Card>
  );
}

/** What a talk costs, and how far the client's money goes. */
function Price(p: { advisor: Schema["Advisor"] }) {
  const { price, least, least_seconds } = p.advisor;
  const amount = (n: number) => money(n, price.currency);
  const have = model.me.value?.available ?? 0;
  return (
    <Facts
      facts={[
        [words.perMinute, <strong>{amount(price.per_minute)}</strong>],
        price.fee > 0 && [words.fee, amount(price.fee)],
        price.free_seconds > 0 && [words.free, length(price.free_seconds)],
        price.minimum_seconds > 0 && [words.minimum, length(price.minimum_seconds)],
        price.increment_seconds > 1 && [words.counted, length(price.increment_seconds)],
        least > have && [words.least, `${amount(least)} ${words.leastFor(length(least_seconds))}`],
        model.me.value && [words.have, amount(have)],
      ]}
      sum={have >= least && price.per_minute > 0 ? [words.buys, length(buys(price, have))] : undefined}
    />
  );
}
