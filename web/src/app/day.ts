import { computed, signal } from "@preact/signals";
import type { Schema } from "../lib/api";
import { kept } from "./kept";
import { lines, me, session, told } from "./model";

// The advisor's day: appointments, and who waits.

export type Appointment = Schema["Appointment"];

export const appointments = kept(
  async () => {
    const { appointments } = await session.api.value.get("/v1/appointments", { query: { coming: true, limit: 100 } });
    return appointments.sort((a, b) => Date.parse(a.starts_at) - Date.parse(b.starts_at));
  },
  /^appointment\./,
);

export const requests = computed(() => appointments.value.value?.filter((a) => a.state === "asked") ?? []);
export const agreed = computed(() => appointments.value.value?.filter((a) => a.state !== "asked") ?? []);

export const queue = kept(
  async () => (await session.api.value.get("/v1/advisors/{id}/queue", { path: { id: me.value } })).waits,
  /^(queue|talk|call)\./,
);

/** The appointment that begins soon, as the host has reminded of. */
export const soon = signal<Appointment | null>(null);
/** It begins soon, and no line of the advisor's can be rung. */
export const verifyNow = computed(() => soon.value !== null && !lines.value.some((line) => line.verified_at));

const near = 15 * 60_000; // ms; what begins within is told of after a reload, too
const over = /^appointment\.(kept|missed|cancelled|declined|proposed)$/;

told.add((e) => {
  const id = e?.data["appointment"];
  if (!e) void appointments.look().then(() => (soon.value = agreed.value.find(beginsSoon) ?? null));
  else if (e.type === "appointment.reminder" || e.type === "appointment.verify_line") void remind(String(id));
  else if (over.test(e.type) && id === soon.value?.id) soon.value = null;
});

const isToBe = (a: Appointment) => a.state === "accepted" || a.state === "open";
const beginsSoon = (a: Appointment) => isToBe(a) && Date.parse(a.starts_at) - Date.now() < near;

async function remind(id: string) {
  const a = await session.api.value.get("/v1/appointments/{id}", { path: { id } }).catch(() => null);
  if (a && isToBe(a)) soon.value = a; // of an old event it may be over
}

const change = async (ask: Promise<Appointment>) => {
  try {
    await ask;
  } finally {
    await appointments.look(); // also where it had changed meanwhile
  }
};

export const accept = (a: Appointment) => change(session.api.value.post("/v1/appointments/{id}/acceptance", { path: { id: a.id } }));
export const decline = (a: Appointment, reason: string) =>
  change(session.api.value.post("/v1/appointments/{id}/decline", { path: { id: a.id }, body: reason ? { reason } : {} }));
export const cancel = (a: Appointment, reason: string) =>
  change(session.api.value.post("/v1/appointments/{id}/cancellation", { path: { id: a.id }, body: reason ? { reason } : {} }));
export const propose = (a: Appointment, at: Date) =>
  change(session.api.value.post("/v1/appointments/{id}/proposal", { path: { id: a.id }, body: { starts_at: inZone(at, a.zone) } }));

/** When the appointment could be instead: the next free times, at most one an hour. */
export async function freeTimes(a: Appointment, most: number): Promise<Date[]> {
  const query = { seconds: a.seconds, zone: a.zone };
  const { free } = await session.api.value.get("/v1/advisors/{id}/free-times", { path: { id: me.value }, query });
  const hour = 3_600_000;
  const out: Date[] = [];
  for (const { from, to } of free) {
    const last = Date.parse(to) - a.seconds * 1000;
    for (let at = Math.ceil(Date.parse(from) / (hour / 2)) * (hour / 2); at <= last; at += hour) {
      if (out.push(new Date(at)) === most) return out;
    }
  }
  return out;
}

/** A moment as RFC 3339 has it, with the offset that a zone has then. */
export function inZone(at: Date, zone: string): string {
  const parts = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" }).formatToParts(at);
  const [, sign = "+", h = "00", m = "00"] = /GMT(?:([+-])(\d\d):(\d\d))?/.exec(parts.find((p) => p.type === "timeZoneName")?.value ?? "") ?? [];
  const minutes = Number(`${sign}1`) * (Number(h) * 60 + Number(m));
  return `${new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, 19)}${sign}${h}:${m}`;
}
