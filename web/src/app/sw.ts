/// <reference lib="webworker" />
// The app's service worker. It keeps static files alone, so that the app opens at once
// and without a network can say so; what is asked of the API is never kept. And it tells
// the advisor what is pushed while the app is closed.
import { capital, when } from "../lib/format";
import { t } from "../texts";

declare const self: ServiceWorkerGlobalScope;

const kept = "app-1";
const most = 40; // files: this version's and some of the one before
const shell = "/app/";

self.addEventListener("install", (e) => {
  e.waitUntil(caches.open(kept).then((cache) => cache.addAll([shell, "/icon.svg"])).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (e) => e.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (e) => {
  const { pathname, origin } = new URL(e.request.url);
  if (e.request.method !== "GET" || origin !== self.location.origin) return;
  if (pathname === shell) e.respondWith(newest(e.request));
  else if (pathname.startsWith("/assets/") || pathname === "/icon.svg") e.respondWith(keep(e.request));
});

/** The page itself: from the host, or else the last one that there was. */
async function newest(request: Request): Promise<Response> {
  const cache = await caches.open(kept);
  try {
    const answer = await fetch(request);
    if (answer.ok) await cache.put(shell, answer.clone());
    return answer;
  } catch (e) {
    const last = await cache.match(shell);
    if (last) return last;
    throw e;
  }
}

/** A file whose name changes with its content. */
async function keep(request: Request): Promise<Response> {
  const cache = await caches.open(kept);
  const known = await cache.match(request);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.ok) {
    await cache.put(request, answer.clone());
    const names = await cache.keys(); // in the order in which they came
    await Promise.all(names.slice(0, Math.max(0, names.length - most)).map((name) => cache.delete(name)));
  }
  return answer;
}

interface Pushed {
  type: string;
  about: string;
  client: string;
  starts_at?: string;
}

const words: Record<string, unknown> = t.app.push;
type Say = (client: string, when: string) => { title: string; body: string };

self.addEventListener("push", (e) => {
  const pushed = e.data?.json() as Pushed | undefined;
  if (pushed) e.waitUntil(tell(pushed));
});

/** Shows a notice, unless the app is before the advisor's eyes: it shows all of it. */
async function tell(p: Pushed) {
  const windows = await self.clients.matchAll({ type: "window" });
  if (windows.some((w) => w.visibilityState === "visible" && new URL(w.url).pathname === shell)) return;
  const say = words[p.type];
  if (typeof say !== "function") return;
  const { title, body } = (say as Say)(p.client || t.app.push.client, p.starts_at ? when(p.starts_at) : "");
  await self.registration.showNotification(title, {
    body: capital(body),
    tag: p.about, // what comes later takes the place of what came before
    icon: "/icon-192.png",
    requireInteraction: p.type === "call.opened",
  });
}

self.addEventListener("notificationclick", (e) => {
  e.notification.close();
  e.waitUntil(open());
});

async function open() {
  const windows = await self.clients.matchAll({ type: "window" });
  const app = windows.find((w) => new URL(w.url).pathname === shell);
  await (app ? app.focus() : self.clients.openWindow(shell));
}
