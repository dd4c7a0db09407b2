import { signal } from "@preact/signals";
import { newKey, type Problem, type Schema } from "../lib/api";
import { api, asProblem, begin, field, forget, hear, lookAtAdvisors, lookAtMe, lookAtWaits, session, waits } from "./model";

// A talk from the tap to its number. What was asked for is kept in the tab with its key:
// after money was added, or the page was loaded anew, the same request goes on.

interface Wanted {
  client: string;
  advisor: string;
  name: string;
  topic: string;
  key: string;
  talk: string; // once there is a number
}

export type Step =
  | { at: "asking" }
  | { at: "number"; talk: Schema["Talk"]; turn: boolean }
  | { at: "short"; problem: Problem }
  | { at: "busy"; problem: Problem }
  | { at: "refused"; problem: Problem }
  | { at: "over"; takenBack: boolean };

export const wanted = signal<Wanted | null>(null);
export const step = signal<Step | null>(null);

const name = "parley.wanted";

function want(w: Wanted | null) {
  wanted.value = w;
  if (w) sessionStorage.setItem(name, JSON.stringify(w));
  else sessionStorage.removeItem(name);
}

/** What the host takes for a topic: no other signs. */
export const plainTopic = (topic: string) => topic.replace(/[^\p{L}\p{N} .,!?'-]+/gu, " ").trim().slice(0, 80);

export async function askForTalk(advisor: { id: string; name: string }, topic = "") {
  want({ client: session.owner.value, advisor: advisor.id, name: advisor.name, topic: plainTopic(topic), key: newKey(), talk: "" });
  await send();
}

/** The same request again: nothing is asked for twice. */
export async function askAgain() {
  if (!wanted.value || step.value?.at === "asking" || step.value?.at === "number") return;
  if (step.value?.at === "over") return askForTalk({ id: wanted.value.advisor, name: wanted.value.name }, wanted.value.topic);
  await send();
}

async function send() {
  const w = wanted.value;
  if (!w) return;
  step.value = { at: "asking" };
  try {
    const talk = await api().post("/v1/talk", { body: { advisor: w.advisor, ...(w.topic && { topic: w.topic }) }, key: w.key });
    if (wanted.value?.key !== w.key) return;
    want({ ...w, talk: talk.id });
    step.value = { at: "number", talk, turn: false };
  } catch (e) {
    if (wanted.value?.key !== w.key) return;
    const problem = asProblem(e);
    if (problem.code === "no_funds") return void (step.value = { at: "short", problem });
    sessionStorage.removeItem(name); // a reload must not reserve who was busy
    const busy = problem.code === "advisor_busy" || problem.code === "queue_full" || problem.code === "advisor_away";
    step.value = busy ? { at: "busy", problem } : { at: "refused", problem };
  }
}

/** Shows the number of a turn. */
export async function takeTurn(wait: Schema["Wait"]) {
  if (!wait.talk || wanted.value?.talk === wait.talk) return;
  try {
    const talk = await api().get("/v1/talk/{id}", { path: { id: wait.talk } });
    if (talk.state === "over") return;
    want({ client: session.owner.value, advisor: talk.advisor.id, name: talk.advisor.name, topic: wait.topic ?? "", key: newKey(), talk: talk.id });
    step.value = { at: "number", talk, turn: true };
    navigator.vibrate?.([200, 100, 200]);
  } catch {
    // the wait itself still says that it is the client's turn
  }
}

/** Shows the number that stands in the way of another. */
export async function showOther(id: string) {
  try {
    const talk = await api().get("/v1/talk/{id}", { path: { id } });
    want({ client: session.owner.value, advisor: talk.advisor.id, name: talk.advisor.name, topic: "", key: newKey(), talk: talk.id });
    step.value = talk.state === "over" ? { at: "over", takenBack: false } : { at: "number", talk, turn: false };
  } catch (e) {
    step.value = { at: "refused", problem: asProblem(e) };
  }
}

export async function giveUp() {
  const talk = wanted.value?.talk;
  dismiss();
  if (!talk) return;
  await api().delete("/v1/talk/{id}", { path: { id: talk } }).catch(() => {}); // it ends by itself, too
  void lookAtAdvisors();
  void lookAtWaits();
}

export function dismiss() {
  want(null);
  step.value = null;
}

/** The number's time has passed. */
export function expired() {
  if (step.value?.at === "number") step.value = { at: "over", takenBack: false };
  void lookAtAdvisors();
}

/** Looks whether the number still works: after a call that was none. */
export async function lookAtTalk() {
  const id = wanted.value?.talk;
  if (!id) return;
  const talk = await api().get("/v1/talk/{id}", { path: { id } }).catch(() => null);
  if (wanted.value?.talk !== id || !talk) return;
  if (talk.state === "over") dismiss();
  else step.value = { at: "number", talk, turn: false };
}

forget(dismiss);

begin(async () => {
  if (step.value) return;
  const kept = sessionStorage.getItem(name);
  if (!kept) return;
  const before = JSON.parse(kept) as Wanted;
  if (before.client !== session.owner.value) return want(null);
  want(before);
  await (wanted.value?.talk ? lookAtTalk() : send());
});

hear((e) => {
  const id = field(e, "talk");
  if (e.type === "talk.over" && step.value?.at === "number" && wanted.value?.talk === id && field(e, "why") !== "talked") {
    step.value = { at: "over", takenBack: true };
  }
  if (e.type === "deposit.made" && step.value?.at === "short") void askAgain();
  if (e.type === "queue.turn" && field(e, "mode") === "page") {
    const turn = field(e, "wait");
    void lookAtWaits().then(() => {
      const wait = waits.value.find((w) => w.id === turn);
      if (wait && !step.value) void takeTurn(wait);
    });
  }
});

// Waiting in line.

/** How the last wait ended, where the client has to be told. */
export const waitEnded = signal<Schema["Wait"] | null>(null);

export async function join(mode: "page" | "call_back"): Promise<Problem | null> {
  const w = wanted.value;
  if (!w) return null;
  try {
    await api().post("/v1/queue", { body: { advisor: w.advisor, mode, ...(w.topic && { topic: w.topic }) } });
    waitEnded.value = null;
    await lookAtWaits();
    dismiss();
    return null;
  } catch (e) {
    return asProblem(e);
  }
}

export async function leaveLine(wait: string) {
  await api().delete("/v1/queue/{id}", { path: { id: wait } }).catch(() => {});
  await lookAtWaits();
}

hear((e) => {
  if (e.type !== "queue.missed" && e.type !== "queue.left") return;
  if (field(e, "state") === "left" || field(e, "state") === "talked") return;
  void api().get("/v1/queue/{id}", { path: { id: field(e, "wait") } }).then((w) => (waitEnded.value = w), () => {});
  void lookAtMe();
});
