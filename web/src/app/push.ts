import { computed, effect, signal } from "@preact/signals";
import { connection, me, mine, session } from "./model";

// Being told while the app is closed: by the browser's push service, where it has one and
// the host pushes.

export type Told = "no" | "on" | "off" | "denied";

const key = signal(""); // the host's; "" where it pushes nothing
const subscribed = signal(false);
const permission = signal<NotificationPermission>("Notification" in globalThis ? Notification.permission : "denied");
export const turning = signal(false);

const able = "PushManager" in globalThis && "Notification" in globalThis && "serviceWorker" in navigator;

export const told = computed<Told>(() => {
  if (!able || !key.value) return "no";
  if (permission.value === "denied") return "denied";
  return subscribed.value ? "on" : "off";
});

const path = () => ({ id: me.value });
const manager = async () => (await navigator.serviceWorker.ready).pushManager;

/** Tells the host where this browser is told: again after a new sign-in, and when this
 * device has become another line's phone. */
async function save(s: PushSubscription) {
  const { endpoint, keys } = s.toJSON();
  if (!endpoint || !keys?.["p256dh"] || !keys["auth"]) return;
  const line = mine.value?.id;
  await session.api.value.put("/v1/advisors/{id}/push", {
    path: path(),
    body: { endpoint, p256dh: keys["p256dh"], auth: keys["auth"], ...(line && { line }) },
  });
  subscribed.value = true;
}

async function look() {
  try {
    key.value = (await session.api.value.get("/v1/advisors/{id}/push", { path: path() })).key ?? "";
    const known = key.value && able ? await (await manager()).getSubscription() : null;
    if (known) await save(known);
  } catch {
    // the connection says so where it is lost, and it is looked at again
  }
}

export async function turnOn() {
  turning.value = true;
  try {
    permission.value = await Notification.requestPermission();
    if (permission.value === "granted") {
      await save(await (await manager()).subscribe({ userVisibleOnly: true, applicationServerKey: key.value }));
    }
  } finally {
    turning.value = false;
  }
}

export async function turnOff() {
  turning.value = true;
  try {
    await (await (await manager()).getSubscription())?.unsubscribe();
    await session.api.value.delete("/v1/advisors/{id}/push", { path: path() });
    subscribed.value = false;
  } finally {
    turning.value = false;
  }
}

effect(() => {
  if (session.state.value !== "in") {
    subscribed.value = false;
    return;
  }
  void mine.value?.address; // another device's line
  if (connection.value === "up") void look();
});
