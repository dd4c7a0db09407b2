import { effect, signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { newKey, Problem, type Schema } from "../lib/api";
import { listen, type Connection } from "../lib/events";
import { Session } from "../lib/session";

// What the desk knows and does for all of its pages: where one is, what the host tells,
// and how it is asked.

export const session = new Session("admin");
export const connection = signal<Connection>("opening");
export const status = signal<Schema["Status"] | null>(null);
/** The clock of all that counts, in ms; it ticks each second. */
export const now = signal(Date.now());

/** Where one is: the parts of the address's fragment, such as clients, cli_1. */
export const place = signal<string[]>(read());

function read() {
  return location.hash.startsWith("#/") ? location.hash.slice(2).split("/").map(decodeURIComponent) : [];
}

addEventListener("hashchange", () => (place.value = read()));

type Hears = (type: string) => void;
const hearing = new Set<Hears>();
const everything = ""; // no event's type: look at all anew

let stopListening = () => {};

effect(() => {
  stopListening();
  if (session.state.value !== "in") {
    status.value = null;
    return;
  }
  const tell = (type: string) => hearing.forEach((hears) => hears(type));
  const events = listen(session.api.value, { fresh: () => tell(everything), event: (e) => tell(e.type), over: () => void session.leave() });
  const stop = effect(() => void (connection.value = events.connection.value));
  const ticks = setInterval(() => (now.value = Date.now()), 1_000);
  stopListening = () => (stop(), events.stop(), clearInterval(ticks));
});

/** Tells the desk of what its own page has done and no event tells. */
export const done = (type: string) => hearing.forEach((hears) => hears(type));

const together = 150; // ms; events that come at once are looked at once

/** Calls hears at events whose types begin with one of these. */
export function useEvents(types: string[], hears: () => void) {
  const latest = useRef(hears);
  latest.current = hears;
  useEffect(() => {
    let soon: ReturnType<typeof setTimeout> | undefined;
    const tell = (type: string) => {
      if (type !== everything && !types.some((begin) => type.startsWith(begin))) return;
      soon ??= setTimeout(() => {
        soon = undefined;
        latest.current();
      }, together);
    };
    hearing.add(tell);
    return () => (hearing.delete(tell), clearTimeout(soon));
  }, []);
}

/** Looks again and again while somebody sees the page: for what no event tells. */
export function useEvery(ms: number, look: () => void) {
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || latest.current(), ms);
    return () => clearInterval(timer);
  }, [ms]);
}

export const problemOf = (e: unknown) => (e instanceof Problem ? e : new Problem(500, "internal"));

export interface Look<T> {
  value: T | null;
  at: number; // ms, when it was so
  problem: Problem | null;
  again: () => void;
}

/** What the host says; it is asked anew when deps change and when events of types come. */
export function useLook<T>(ask: () => Promise<T>, types: string[], deps: unknown[] = []): Look<T> {
  const [look, set] = useState<Omit<Look<T>, "again">>({ value: null, at: 0, problem: null });
  const turn = useRef(0);
  const again = () => {
    const mine = ++turn.current;
    ask().then(
      (value) => mine === turn.current && set({ value, at: Date.now(), problem: null }),
      (e) => mine === turn.current && set((before) => ({ ...before, problem: problemOf(e) })),
    );
  };
  useEffect(() => {
    again();
    return () => void turn.current++;
  }, deps);
  useEvents(types, again);
  return { ...look, again };
}

/** Does something at the host, once however often it is tried. */
export function useAct() {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const last = useRef({ what: "", key: "" });
  const act = async <T>(what: unknown, does: (key: string) => Promise<T>): Promise<T | undefined> => {
    const asked = JSON.stringify(what);
    if (last.current.what !== asked) last.current = { what: asked, key: newKey() };
    setBusy(true);
    setProblem(null);
    try {
      const done = await does(last.current.key);
      last.current = { what: "", key: "" };
      return done;
    } catch (e) {
      setProblem(problemOf(e));
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { act, busy, problem };
}

export const api = () => session.api.value;

/** The host's health, which no event tells; calls, plans and adjustments are told of. */
export function useStatus() {
  const look = useLook(() => api().get("/v1/status"), ["call.", "plan.", "adjustment.", "ledger."]);
  useEvery(10_000, look.again);
  useEffect(() => {
    if (look.value) status.value = look.value;
  }, [look.value]);
  return look;
}
