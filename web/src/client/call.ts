import { signal } from "@preact/signals";
import type { Schema } from "../lib/api";
import { api, begin, field, forget, hear, lookAtMe, session } from "./model";
import { dismiss, lookAtTalk } from "./talk";

// The call that is up, as the host tells of it: the sound is in the client's telephone.

export interface Call {
  id: string;
  receipt: Schema["Receipt"] | null;
  /** Milliseconds of talk until `since`, which is 0 while nobody can talk. */
  before: number;
  since: number;
  longest: number; // seconds of talk in all
}

export const call = signal<Call | null>(null);

export const talked = (c: Call) => c.before + (c.since ? Date.now() - c.since : 0);

const proofs = 12_000; // ms; the host writes down a talk's length every 10 s

async function look(id: string) {
  const r = await api().get("/v1/calls/{id}/receipt", { path: { id } }).catch(() => null);
  const c = call.value;
  if (!r || c?.id !== id) return;
  if (r.state === "ended") {
    call.value = { ...c, receipt: r, since: 0 };
    return;
  }
  const next = { ...c, receipt: r, longest: r.longest_seconds ?? c.longest };
  const last = r.segments.at(-1);
  if (!c.since && last) {
    // The page came to a talk that was going on.
    const earlier = (r.seconds - last.seconds) * 1000;
    const open = Math.min(Math.max(Date.now() - Date.parse(last.from), last.seconds * 1000), last.seconds * 1000 + proofs);
    Object.assign(next, { before: earlier + open, since: Date.now() });
  }
  call.value = next;
}

export const lookAtCall = async () => void (call.value && (await look(call.value.id)));

const begun = (id: string): Call => ({ id, receipt: null, before: 0, since: 0, longest: 0 });

forget(() => (call.value = null));

begin(async () => {
  if (call.value) return look(call.value.id);
  const list = await api().get("/v1/clients/{id}/receipts", { path: { id: session.owner.value }, query: { limit: 1 } }).catch(() => null);
  const last = list?.receipts[0];
  if (last?.state !== "live" || call.value) return;
  call.value = begun(last.call);
  await look(last.call);
});

hear((e) => {
  const id = field(e, "call");
  switch (e.type) {
    case "call.opened":
      call.value = begun(id);
      void look(id);
      break;
    case "call.talking": {
      const c = call.value?.id === id ? call.value : begun(id);
      const first = Number((e.data as Record<string, unknown>)["segment"]) === 1;
      call.value = first ? { ...c, before: 0, since: Date.now() } : { ...c, since: 0 }; // what came before is looked at
      void look(id);
      break;
    }
    case "call.ended":
      if (call.value?.id !== id) break;
      call.value = { ...call.value, before: talked(call.value), since: 0 };
      void look(id);
      break;
    case "rating.given":
    case "adjustment.made":
    case "deposit.made":
      void lookAtCall();
      break;
  }
});

/** The client has seen what came of it. */
export function callSeen() {
  const without = call.value?.receipt?.segments.length === 0;
  call.value = null;
  void lookAtMe();
  if (without) void lookAtTalk(); // perhaps the number still works
  else dismiss();
}
