import { batch, computed, effect, signal } from "@preact/signals";
import { Problem, type Schema } from "../lib/api";
import { listen, type Connection } from "../lib/events";
import { Session } from "../lib/session";
import { beThePhone, device, isThePhone, keepDevice } from "./device";
import type { Phone } from "./phone";
import { allowRinging, ring } from "./ringer";

// What the app knows, and what can be done in it. The host is right about presence,
// lines and verification; the phone about the call.

export const session = new Session("advisor", true);

export const advisor = signal<Schema["AdvisorProfile"] | null>(null);
export const lines = signal<Schema["Line"][]>([]);
export const connection = signal<Connection>("opening");
export const problem = signal<"" | "offline" | "internal">("");
export const phone = signal<Phone | null>(null); // once its code is loaded
export const elsewhere = signal(false); // another window is the phone

export const me = session.owner;
/** Who is told of each event, or null when all may have changed. */
export const told = new Set<(e: Schema["Event"] | null) => void>();

const tell = (e: Schema["Event"] | null) => told.forEach((f) => f(e));

export const onLine = computed(() => advisor.value?.own?.on_line ?? false);
/** This device's line, as the host knows it. */
export const mine = computed(() => {
  const here = device(me.value);
  return lines.value.find((line) => line.id === here?.line && line.address === here.address) ?? null;
});
export const verified = computed(() => Boolean(mine.value?.verified_at));
/** Another phone of the advisor's is rung, not this one. */
export const otherPhone = computed(() => !verified.value && lines.value.some((line) => line.verified_at));

// The same window comes back on line after a reload, which is no leaving.
const wasOnLine = "parley.onLine";

let stopListening = () => {};

effect(() => {
  stopListening();
  if (session.state.value !== "in") return;
  const events = listen(session.api.value, {
    fresh: () => {
      void look();
      tell(null);
    },
    event: heard,
    over: () => void session.leave(),
  });
  const stop = effect(() => void (connection.value = events.connection.value));
  stopListening = () => (stop(), events.stop());
});

/** Reads what holds of the advisor. */
export async function look() {
  try {
    const path = { id: me.value };
    const [a, l] = await Promise.all([
      session.api.value.get("/v1/advisors/{id}", { path }),
      session.api.value.get("/v1/advisors/{id}/lines", { path }),
    ]);
    batch(() => {
      advisor.value = a;
      lines.value = l.lines;
      problem.value = "";
    });
    if (!mine.value && !verification.value) stop(); // another device took the line over
    if ((phone.value?.registration.value ?? "off") === "off") elsewhere.value = onLine.value && verified.value && (await isThePhone());
    if (sessionStorage.getItem(wasOnLine) && verified.value && !phone.value) await goOnLine();
  } catch (e) {
    failed(e);
  }
}

function failed(e: unknown) {
  problem.value = e instanceof Problem && e.status === 0 ? "offline" : "internal";
}

function heard(e: Schema["Event"]) {
  switch (e.type) {
    case "advisor.presence":
    case "line.verified":
    case "line.unverified":
      void look();
      break;
    case "call.opened":
      opened.value = of(e);
      break;
    case "call.talking":
      if (talk.value) talk.value = { ...talk.value, ...of(e), talkingSince: talk.value.talkingSince || Date.now() };
      break;
    case "call.ended":
      if (talk.value) talk.value = { ...talk.value, ...of(e), result: e.data as unknown as Result };
      break;
  }
  tell(e);
  if (e.type === "line.verified" && verification.value) verification.value = { ...verification.value, state: "verified" };
}

/** The phone's code is a third of the app: it is loaded when there is a use for it. */
async function load(): Promise<Phone> {
  if (!phone.value) {
    const { Phone } = await import("./phone");
    phone.value ??= new Phone();
    watch(phone.value);
  }
  return phone.value;
}

/** Opens the microphone and registers; false where that cannot be. */
async function start(steal = false): Promise<boolean> {
  allowRinging();
  const here = device(me.value);
  if (!here) return false;
  const p = await load();
  if (p.registration.value !== "off") return true;
  const free = await beThePhone(steal, () => {
    elsewhere.value = true;
    p.stop();
    p.microphone.close();
  });
  elsewhere.value = !free;
  if (!free || !(await p.microphone.open())) return false;
  p.start(here);
  return true;
}

function stop() {
  phone.value?.stop();
  phone.value?.microphone.close();
}

export async function goOnLine(steal = false) {
  problem.value = "";
  if (verified.value && !(await start(steal))) return;
  if (phone.value && verified.value && !(await registered(phone.value))) return; // else the first call would not reach it
  try {
    await presence(true);
    sessionStorage.setItem(wasOnLine, "yes");
  } catch (e) {
    failed(e);
  }
}

export async function goOffLine() {
  problem.value = "";
  sessionStorage.removeItem(wasOnLine);
  try {
    await presence(false);
    if (!phone.value?.call.value) stop();
  } catch (e) {
    failed(e);
  }
}

async function presence(on: boolean, last = false) {
  await session.api.value.put("/v1/advisors/{id}/presence", { path: { id: me.value }, body: { on_line: on }, last });
  const now = advisor.value;
  if (now?.own) advisor.value = { ...now, own: { ...now.own, on_line: on } };
}

export async function signOut() {
  if (onLine.value) await goOffLine();
  stop();
  await session.leave();
}

// Verification: the app shows a code and is rung; the code is keyed on its own keypad.

export interface Verification {
  state: "preparing" | "calling" | "verified" | "failed" | "expired" | "too_many" | "no_registration" | "microphone";
  code: string;
  id: string;
  after: number; // seconds, until another try makes sense
}

export const verification = signal<Verification | null>(null);

export async function verify() {
  verification.value = { state: "preparing", code: "", id: "", after: 0 };
  const become = (what: Partial<Verification>) => verification.value && (verification.value = { ...verification.value, ...what });
  allowRinging();
  try {
    const p = await load();
    if (!(await p.microphone.open())) return become({ state: "microphone" });
    if (!mine.value) {
      p.stop();
      await newLine();
    }
    if (!(await start(true))) return become({ state: "microphone" });
    if (!(await registered(p))) return become({ state: "no_registration" });
    const line = mine.value;
    if (!line) return become({ state: "failed" });
    const challenge = await session.api.value.post("/v1/lines/{id}/verifications", { path: { id: line.id } });
    become({ state: "calling", code: challenge.code ?? "", id: challenge.id });
    void follow(challenge.id);
  } catch (e) {
    if (e instanceof Problem && e.status === 429) become({ state: "too_many", after: e.said.retry_after ?? 60 });
    else {
      failed(e);
      verification.value = null;
    }
  }
}

/** A line for this device: the advisor's app line with new credentials, or the first. */
async function newLine() {
  const api = session.api.value;
  const before = lines.value.find((line) => line.kind === "app");
  const made = before
    ? await api.put("/v1/lines/{id}", { path: { id: before.id }, body: { kind: "app" } })
    : await api.post("/v1/advisors/{id}/lines", { path: { id: me.value }, body: { kind: "app" } });
  if (!made.credentials) throw new Problem(500, "internal"); // they are told once, to this request
  keepDevice({ advisor: me.value, line: made.id, address: made.address, ...made.credentials });
  await look();
}

const registers = 30_000; // ms; the exchange learns of a new line within 10 s

function registered(p: Phone): Promise<boolean> {
  return new Promise((resolve) => {
    const give = setTimeout(() => done(false), registers);
    const stop = p.registration.subscribe((state) => state === "ready" && queueMicrotask(() => done(true)));
    const done = (ready: boolean) => {
      clearTimeout(give);
      stop();
      resolve(ready);
    };
  });
}

const asks = 1_500; // ms; beside the event, which may be missed

async function follow(id: string) {
  while (verification.value?.id === id && verification.value.state === "calling") {
    await new Promise((resolve) => setTimeout(resolve, asks));
    const result = await session.api.value.get("/v1/verifications/{id}", { path: { id } }).catch(() => null);
    const now = verification.value;
    if (!result || now?.id !== id || now.state !== "calling") continue;
    if (result.state === "verified" || result.state === "failed" || result.state === "expired") {
      verification.value = { ...now, state: result.state };
      void look();
    }
  }
}

export function endVerification() {
  if (phone.value?.call.value) phone.value.hangUp();
  phone.value?.dismiss();
  verification.value = null;
  if (!onLine.value) stop();
}

// A call of a client's.

interface Result {
  talk_seconds: number;
  share: number;
  currency: string;
}

export interface Talk {
  call: string; // the phone's name for it
  id: string; // the host's, once it is known
  client: string; // likewise
  paid: number; // seconds that the client can talk for, in all
  /** Whether the advisor has to say by key that they take it; else they said so here. */
  asked: boolean;
  accepted: boolean;
  talkingSince: number; // 0: not yet
  result?: Result;
}

export const talk = signal<Talk | null>(null);
const opened = signal({ id: "", client: "" }); // the last call

const of = (e: Schema["Event"]) => ({ id: String(e.data["call"] ?? ""), client: e.client ?? "" });

/** Asks how long the client can talk for: they may have added money, of which no event
 * tells the advisor. */
export async function lookPaid() {
  const id = talk.value?.id;
  if (!id) return;
  const paid = await session.api.value.get("/v1/calls/{id}/paid-time", { path: { id } }).catch(() => null);
  if (paid?.seconds && talk.value?.id === id) talk.value = { ...talk.value, paid: paid.seconds };
}

/** Watches the phone: rings, remembers, wakes. */
function watch(p: Phone) {
  effect(() => {
    const call = p.call.value;
    ring(call?.phase === "ringing");
    if (!call || verification.peek()) return;
    if (talk.peek()?.call !== call.id) {
      talk.value = { call: call.id, ...opened.peek(), paid: call.about.seconds, asked: call.about.kind === "", accepted: false, talkingSince: 0 };
    }
    const now = talk.peek();
    if (call.phase === "up" && now && !now.asked && !now.accepted) accept();
  });
  effect(() => {
    const phase = p.call.value?.phase;
    if (phase === "up") void stayAwake();
    if (!phase || phase === "over") void awake?.release().then(() => (awake = null));
  });
}

/** Says yes to the voice that asks. */
export function accept() {
  phone.value?.key("1");
  if (talk.value) talk.value = { ...talk.value, accepted: true };
}

export function refuse() {
  if (phone.value?.call.value?.phase === "up" && talk.value && !talk.value.accepted) phone.value.key("2");
  else phone.value?.decline();
}

export function callSeen() {
  phone.value?.dismiss();
  talk.value = null;
  if (!onLine.value && !verification.value) stop();
}

let awake: WakeLockSentinel | null = null;

async function stayAwake() {
  awake ??= (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null; // a saving battery forbids it
}

// The page is about to go. A call that is up is asked about; else the exchange is told at
// once, so that nobody is put through to a phone that is not there.

addEventListener("beforeunload", (e) => {
  if (phone.value?.call.value?.phase === "up") e.preventDefault();
});

addEventListener("pagehide", (e: PageTransitionEvent) => {
  if (e.persisted || !phone.value || phone.value.registration.value === "off") return;
  if (onLine.value) void presence(false, true).catch(() => {});
  phone.value.stop();
});
