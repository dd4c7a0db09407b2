import { batch, computed, effect, signal } from "@preact/signals";
import { Problem, type Schema } from "../lib/api";
import { listen, type Connection } from "../lib/events";
import { Session } from "../lib/session";
import { route } from "./route";

// What the page knows. The host is right about all of it; its events say when to look
// again.

export const session = new Session("client");

export const me = signal<Schema["Client"] | null>(null);
export const advisors = signal<Schema["Advisor"][] | null>(null);
export const waits = signal<Schema["Wait"][]>([]);
export const appointments = signal<Schema["Appointment"][]>([]);
export const receipts = signal<Schema["Receipt"][] | null>(null);
export const caps = signal<Schema["Caps"] | null>(null);
export const connection = signal<Connection>("opening");
/** Why the page could not look. */
export const problem = signal<Problem | null>(null);

export const api = () => session.api.value;
const path = () => ({ id: session.owner.value });

export const currency = computed(() => me.value?.currency ?? "EUR");
export const available = computed(() => me.value?.available ?? 0);

export const asProblem = (e: unknown) => (e instanceof Problem ? e : new Problem(500, "internal"));

/** Looks, and says where that did not go well. */
async function look<T>(ask: Promise<T>, into: (answer: T) => void) {
  try {
    const answer = await ask;
    batch(() => {
      into(answer);
      problem.value = null;
    });
  } catch (e) {
    problem.value = asProblem(e);
  }
}

export const lookAtMe = () => look(api().get("/v1/clients/{id}", { path: path() }), (a) => (me.value = a));

export const lookAtWaits = () =>
  look(api().get("/v1/clients/{id}/queue", { path: path() }), (a) => (waits.value = a.waits.filter((w) => w.state === "waiting" || w.state === "turn")));

export const lookAtAppointments = () =>
  look(api().get("/v1/appointments", { query: { coming: true } }), (a) => {
    appointments.value = a.appointments.sort((x, y) => Date.parse(x.starts_at) - Date.parse(y.starts_at));
  });

export const lookAtReceipts = () => look(api().get("/v1/clients/{id}/receipts", { path: path() }), (a) => (receipts.value = a.receipts));

export const receiptsAtOnce = 20; // the host's own number

export async function moreReceipts() {
  const last = receipts.value?.at(-1);
  if (!last) return;
  await look(api().get("/v1/clients/{id}/receipts", { path: path(), query: { before: last.call } }), (a) => {
    receipts.value = [...(receipts.value ?? []), ...a.receipts];
  });
}

export const lookAtCaps = () => look(api().get("/v1/clients/{id}/caps", { path: path() }), (a) => (caps.value = a));

const rank = { free: 0, busy: 1, away: 2 };

export const looked = signal(0); // how often at all advisors

/** One of them was looked at by themselves. */
export const learn = (a: Schema["Advisor"]) => void (advisors.value = advisors.value?.map((x) => (x.id === a.id ? a : x)) ?? null);

/** The free ones come first; who is shown already keeps their place. */
export const lookAtAdvisors = () =>
  look(api().get("/v1/advisors", { query: { limit: 500 } }), (a) => {
    const before = advisors.value;
    const placeOf = (id: string) => before?.findIndex((x) => x.id === id) ?? -1;
    const at = (x: Schema["Advisor"]) => (placeOf(x.id) < 0 ? 1e6 + rank[x.state] : placeOf(x.id));
    advisors.value = a.advisors.sort((x, y) => at(x) - at(y));
    looked.value++;
  });

/** What is heard of more than one part of the page: each adds what it does. */
type Hears = (e: Schema["Event"]) => void;
const hearers: Hears[] = [];
export const hear = (h: Hears) => void hearers.push(h);

const beginnings: (() => Promise<void>)[] = [];
/** Is done when the page has signed in, and whenever events may have been missed. */
export const begin = (b: () => Promise<void>) => void beginnings.push(b);

const forgets: (() => void)[] = [];
/** Is done when the client is not signed in any more. */
export const forget = (f: () => void) => void forgets.push(f);

export const field = (e: Schema["Event"], name: string) => {
  const value = (e.data as Record<string, unknown> | undefined)?.[name];
  return typeof value === "string" ? value : "";
};

/** The last payment whose answer came late. */
export const answered = signal<{ payment: string; paid: boolean } | null>(null);

function heard(e: Schema["Event"]) {
  const [about] = e.type.split(".");
  if (about === "queue" || e.type === "talk.over") void lookAtWaits();
  if (about === "appointment") void lookAtAppointments();
  if (["deposit", "call", "adjustment", "appointment"].includes(about ?? "")) void lookAtMe();
  if (["call.ended", "adjustment.made", "rating.given"].includes(e.type) && receipts.value) void lookAtReceipts();
  if (about === "talk" || about === "call" || about === "queue") void lookAtAdvisors();
  if (e.type === "payment.paid" || e.type === "payment.declined") answered.value = { payment: field(e, "payment"), paid: e.type === "payment.paid" };
  for (const h of hearers) h(e);
}

let stopListening = () => {};

effect(() => {
  stopListening();
  stopListening = () => {};
  if (session.state.value === "out") for (const f of forgets) f();
  if (session.state.value !== "in") return;
  const events = listen(session.api.value, {
    fresh: () => void Promise.all([lookAtMe(), lookAtAdvisors(), lookAtWaits(), lookAtAppointments(), ...beginnings.map((b) => b())]),
    event: heard,
    over: () => void session.leave(),
  });
  const stop = effect(() => void (connection.value = events.connection.value));
  stopListening = () => (stop(), events.stop());
});

// Whether an advisor is free, and how long a line is, is told to no client by an event:
// it is asked for while it is looked at.

const looksAgain = 20_000; // ms

function lookAgain() {
  if (document.visibilityState !== "visible" || session.state.value !== "in" || connection.value !== "up") return;
  if (route.value.place === "advisors" || route.value.place === "advisor") void lookAtAdvisors();
  if (waits.value.some((w) => w.state === "waiting")) void lookAtWaits();
}

setInterval(lookAgain, looksAgain);
addEventListener("visibilitychange", lookAgain);

export async function signOut() {
  sessionStorage.clear();
  await session.leave();
  location.reload(); // nothing of the client stays in the page
}
