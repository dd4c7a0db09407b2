import { effect, signal } from "@preact/signals";
import { Problem, type Schema } from "../lib/api";
import { session, told } from "./model";

// What the host knows and the app shows. It is read when it may have changed, which
// events tell, and not otherwise.

export interface Kept<T> {
  readonly value: { value: T | null };
  readonly problem: { value: Problem | null };
  /** Reads it anew. */
  look: () => Promise<void>;
}

/** Keeps what read finds, and reads it again after events whose type matches. */
export function kept<T>(read: () => Promise<T>, changes: RegExp): Kept<T> {
  const value = signal<T | null>(null);
  const problem = signal<Problem | null>(null);
  let reading: Promise<void> | null = null;
  let again = false;

  const forever = async () => {
    do {
      again = false;
      try {
        value.value = await read();
        problem.value = null;
      } catch (e) {
        problem.value = asProblem(e);
      }
    } while (again);
    reading = null;
  };
  const look = () => {
    again = true; // of two that ask at once the second must not get the answer to the first
    reading ??= forever();
    return reading;
  };
  told.add((e: Schema["Event"] | null) => {
    if (!e || changes.test(e.type)) void look();
  });
  effect(() => {
    if (session.state.value !== "in") value.value = null; // the next who signs in is another
  });
  return { value, problem, look };
}

export const asProblem = (e: unknown) => (e instanceof Problem ? e : new Problem(500, "internal"));
