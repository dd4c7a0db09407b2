import { useEffect, useState } from "preact/hooks";
import type { Schema } from "../lib/api";
import { date, money, whenFirst } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip, Field, Notice } from "../ui/ui";
import { api, useAct, useLook } from "./model";
import { Facts, Form, Page, Select, Table, To, Trouble } from "./parts";

type Line = Schema["Line"];
const words = t.desk.advisors;
const aMonth = 2_592_000; // s

const State = (p: { state: Schema["Advisor"]["state"] }) => (
  <Chip tone={p.state === "free" ? "good" : p.state === "busy" ? "warn" : "bad"}>{words.states[p.state]}</Chip>
);
const perMinute = (p: Schema["Price"]) => t.desk.perMinute(money(p.per_minute, p.currency));
const stars = (a: Schema["Advisor"]) => (a.rated ? words.stars(a.stars, a.rated) : "–");

export function Advisors() {
  const look = useLook(() => api().get("/v1/advisors", { query: { limit: 500 } }), ["advisor.", "talk.", "call.", "line.", "plan."]);
  return (
    <Page title={t.desk.pages.advisors}>
      <Trouble problem={look.problem} again={look.again} />
      <Card>
        {look.value && (
          <Table
            name={t.desk.pages.advisors}
            rows={look.value.advisors}
            id={(a) => a.id}
            empty={words.none}
            columns={[
              { name: words.name, cell: (a) => <To to={`advisors/${a.id}`}>{a.name}</To> },
              { name: words.state, cell: (a) => <State state={a.state} /> },
              { name: words.rated, cell: stars },
              { name: t.desk.whatIf.price, end: true, cell: (a) => perMinute(a.price) },
            ]}
          />
        )}
      </Card>
    </Page>
  );
}

export function Advisor(p: { id: string }) {
  const path = { id: p.id };
  const look = useLook(() => api().get("/v1/advisors/{id}", { path }), ["advisor.", "talk.", "call."], [p.id]);
  const calls = useLook(() => api().get("/v1/calls", { query: { advisor: p.id, limit: 10 } }), ["call."], [p.id]);
  const { act, busy, problem } = useAct();
  const [link, setLink] = useState("");
  const a = look.value;
  const invite = async () => {
    const body = { holder: words.device, lasts: aMonth };
    const token = await act(["invite", link], (key) => api().post("/v1/advisors/{id}/tokens", { path, body, key }));
    if (token) setLink(`${location.origin}/app/#token=${token.token}`);
  };
  return (
    <Page title={a?.name ?? t.desk.pages.advisors} aside={a && <State state={a.state} />}>
      <Trouble problem={look.problem ?? problem} again={look.again} />
      {a && (
        <Card title={words.profile}>
          <Facts
            of={[
              [words.onLine, a.own?.on_line ? words.yes : words.no],
              [t.desk.whatIf.price, perMinute(a.price)],
              [words.least, money(a.least, a.price.currency)],
              [words.rated, stars(a)],
            ]}
          />
          <div class="actions">
            <Button kind="plain" busy={busy} onClick={() => void invite()}>{words.invite}</Button>
          </div>
          {link && (
            <Notice tone="good">
              {words.inviteHint}
              <p class="words">{link}</p>
            </Notice>
          )}
        </Card>
      )}
      <Lines id={p.id} />
      <Card title={t.desk.live.last}>
        <Table
          name={t.desk.live.last}
          rows={calls.value?.calls ?? []}
          id={(c) => c.id}
          empty={t.desk.live.noCalls}
          columns={[
            { name: t.desk.began, cell: (c) => <To to={`calls/${c.id}`}>{whenFirst(c.started_at)}</To> },
            { name: t.desk.parties.client, cell: (c) => c.client?.name ?? "–" },
            { name: t.desk.outcome, cell: (c) => c.outcome ?? t.desk.live.upNow },
          ]}
        />
      </Card>
    </Page>
  );
}

function Lines(p: { id: string }) {
  const path = { id: p.id };
  const look = useLook(() => api().get("/v1/advisors/{id}/lines", { path }), ["line."], [p.id]);
  const [kind, choose] = useState<Line["kind"]>("phone");
  const [address, write] = useState("");
  const [credentials, tell] = useState<Schema["Credentials"] | null>(null);
  const [challenge, start] = useState<Schema["Verification"] | null>(null);
  const { act, busy, problem } = useAct();
  const add = async () => {
    const body = kind === "phone" ? { kind, address: address.replace(/\s/g, "") } : { kind };
    const line = await act(body, (key) => api().post("/v1/advisors/{id}/lines", { path, body, key }));
    if (!line) return;
    tell(line.credentials ?? null);
    write("");
    look.again();
  };
  const verify = async (line: Line) => {
    const v = await act(["verify", line.id], (key) => api().post("/v1/lines/{id}/verifications", { path: { id: line.id }, key }));
    if (v) start(v);
  };
  const retire = async (line: Line) => {
    await act(["retire", line.id], () => api().delete("/v1/lines/{id}", { path: { id: line.id } }));
    look.again();
  };
  return (
    <Card title={words.lines}>
      <Trouble problem={look.problem ?? problem} />
      {challenge && <Verifying of={challenge} key={challenge.id} />}
      {look.value && (
        <Table
          name={words.lines}
          rows={look.value.lines}
          id={(l) => l.id}
          empty={words.noLines}
          columns={[
            { name: words.kind, cell: (l) => words.kinds[l.kind] },
            { name: words.address, cell: (l) => <span class="digits">{l.address}</span> },
            {
              name: words.verification,
              cell: (l) => (l.verified_at ? <Chip tone="good" icon="shield">{words.verified(date(l.verified_at))}</Chip> : <Chip tone="warn">{words.notVerified}</Chip>),
            },
            {
              name: t.desk.plan.doIt,
              unnamed: true,
              end: true,
              cell: (l) => (
                <div class="actions">
                  <Button kind="bare" icon="phone" onClick={() => void verify(l)}>{words.verify} <span class="unseen">{l.address}</span></Button>
                  <Button kind="bare" onClick={() => void retire(l)}>{words.retire} <span class="unseen">{l.address}</span></Button>
                </div>
              ),
            },
          ]}
        />
      )}
      <Form class="fields" onSend={() => void add()}>
        <Select label={words.addKind} value={kind} options={Object.entries(words.kinds)} onChange={(k) => choose(k as Line["kind"])} />
        {kind === "phone" && <Field label={words.number} type="tel" placeholder="+49…" value={address} onInput={(e) => write(e.currentTarget.value)} />}
        <Button kind="plain" busy={busy} off={kind === "phone" && !address} onClick={() => void add()}>{words.add}</Button>
      </Form>
      {credentials && (
        <Notice tone="good">
          {words.credentials}
          <Facts of={[[words.user, credentials.user], [words.password, credentials.password]]} />
        </Notice>
      )}
    </Card>
  );
}

const asks = 2_000; // ms; that a verification failed is told by no event

/** A verification call: its code, to be told to the advisor, and what becomes of it. */
function Verifying(p: { of: Schema["Verification"] }) {
  const [now, set] = useState(p.of);
  const going = now.state === "waiting" || now.state === "ringing";
  useEffect(() => {
    if (!going) return;
    const timer = setInterval(() => {
      api().get("/v1/verifications/{id}", { path: { id: p.of.id } }).then((v) => set({ ...p.of, ...v }), () => {}); // it is asked again
    }, asks);
    return () => clearInterval(timer);
  }, [going]);
  return (
    <Notice tone={now.state === "verified" ? "good" : going ? "info" : "bad"}>
      {going ? (
        <>
          {words.calling} <strong class="digits">{p.of.code}</strong>
        </>
      ) : (
        `${words.results[now.state as "verified" | "failed" | "expired"]} ${now.state === "failed" ? (now.outcome ?? "") : ""}`
      )}
    </Notice>
  );
}
