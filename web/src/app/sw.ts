/// <reference lib="webworker" />
// The app's service worker. It keeps static files alone, so that the app opens at once
// and without a network can say so; what is asked of the API is never kept.
export {};
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
