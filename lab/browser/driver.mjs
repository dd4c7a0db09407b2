// Drives Debian's Chromium for package browser: one JSON command a line on standard
// input, one answer a line on standard output. Pages are found as people find things:
// by role and name.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

// The libraries are those of the pages' own folder, wherever this file is.
const require = createRequire(`${process.argv[2]}/package.json`);
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const flags = [
  "--no-sandbox", // a test may be root's
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--allow-loopback-in-peer-connection", // all of the stage is on loopback
  `--use-file-for-fake-audio-capture=${process.argv[3]}`,
];

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: flags });
const pages = new Map();

/** In the page: the microphone as it is, and an ear at what the other side sends. */
function ears() {
  const media = navigator.mediaDevices;
  const ask = media?.getUserMedia.bind(media);
  if (ask) {
    // Processing takes a steady tone for noise.
    media.getUserMedia = (wanted) => ask({ ...wanted, audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  }
  // What the phone did: addresses that it found, and the first lines of its SIP, which hold
  // no secret.
  window.sip = [];
  const note = (way, message) => window.sip.push(`${(performance.now() / 1000).toFixed(2)} ${way} ${String(message).split("\r\n")[0]}`);
  const context = new AudioContext();
  const peaks = []; // of every 100 ms: the loudest frequency, and how loud
  window.heard = (hz, ms) => {
    const last = peaks.filter((p) => p.at > performance.now() - ms);
    return last.length < ms / 200 ? 0 : last.filter((p) => Math.abs(p.hz - hz) < 40 && p.db > -60).length / last.length;
  };
  const Peer = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Peer {
    constructor(...args) {
      super(...args);
      window.peers = [...(window.peers ?? []), this];
      this.addEventListener("icecandidate", (e) => note("ice", e.candidate?.candidate ?? "no more"));
      this.addEventListener("connectionstatechange", () => note("ice", this.connectionState));
      this.addEventListener("track", (e) => {
        const ear = new AnalyserNode(context, { fftSize: 4096, smoothingTimeConstant: 0 });
        new MediaStreamAudioSourceNode(context, { mediaStream: new MediaStream([e.track]) }).connect(ear);
        const bins = new Float32Array(ear.frequencyBinCount);
        const timer = setInterval(() => {
          if (this.connectionState === "closed") clearInterval(timer);
          ear.getFloatFrequencyData(bins);
          const top = bins.indexOf(Math.max(...bins));
          peaks.push({ at: performance.now(), hz: (top * context.sampleRate) / ear.fftSize, db: bins[top] });
          if (peaks.length > 600) peaks.shift();
        }, 100);
      });
    }
  };
  // Websockets that a test can cut.
  const Socket = window.WebSocket;
  window.sockets = [];
  window.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      window.sockets.push(this);
      for (const event of ["open", "close"]) this.addEventListener(event, () => note(event, ""));
      this.addEventListener("message", (e) => note("<-", e.data));
    }
    send(message) {
      note("->", message);
      super.send(message);
    }
  };
}

const find = (page, { role, name, text }) =>
  role ? page.getByRole(role, name ? { name, exact: true } : {}).first() : page.getByText(text, { exact: false }).first();

const commands = {
  async open({ url, width, height, dark, beside }) {
    const context = beside ? pages.get(beside).context() : await browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? "dark" : "light",
      permissions: ["microphone", "notifications"],
      deviceScaleFactor: width < 600 ? 2 : 1,
      hasTouch: width < 600,
      locale: "en-GB",
      timezoneId: "Europe/Berlin",
    });
    if (!beside) await context.addInitScript(ears);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.complaints = [];
    page.on("console", (m) => m.type() === "error" && page.complaints.push(m.text()));
    page.on("dialog", (d) => d.accept()); // "You are in a call. Leave?" Yes.
    page.on("pageerror", (e) => page.complaints.push(String(e)));
    await page.goto(url);
    const id = String(pages.size + 1);
    pages.set(id, page);
    return id;
  },
  click: ({ page, ...what }) => find(page, what).click(),
  see: ({ page, ...what }) => find(page, what).waitFor({ state: "visible" }),
  gone: ({ page, ...what }) => find(page, what).waitFor({ state: "hidden" }),
  there: ({ page, ...what }) => find(page, what).isVisible(),
  read: ({ page, selector }) => page.locator(selector).first().innerText(),
  fill: ({ page, name, value }) => page.getByLabel(name, { exact: true }).fill(value),
  choose: ({ page, name, path }) => page.getByLabel(name, { exact: true }).setInputFiles(path),
  press: ({ page, value }) => page.keyboard.press(value),
  focused: ({ page }) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") || document.activeElement?.labels?.[0]?.textContent || document.activeElement?.textContent || ""),
  goto: ({ page, url }) => page.goto(url),
  reload: ({ page }) => page.reload(),
  run: ({ page, value }) => page.evaluate(value),
  complaints: async ({ page }) => page.complaints.splice(0),
  shot: ({ page, path }) => page.screenshot({ path, animations: "disabled" }),
  async look({ page, width, height, dark }) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: dark ? "dark" : "light" });
  },
  /** Gives the app's service worker what its browser's push service would, and tells what it shows. */
  async push({ page, value }) {
    const devtools = await page.context().newCDPSession(page);
    const worker = new Promise((resolve) => {
      devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
        const app = registrations.find((r) => r.scopeURL.endsWith("/app/") && !r.isDeleted);
        if (app) resolve(app.registrationId);
      });
    });
    await devtools.send("ServiceWorker.enable");
    const origin = new URL(page.url()).origin;
    const registrationId = await worker;
    // What comes before the worker is active is lost, and nobody says so: it is sent again.
    for (;;) {
      await devtools.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data: value });
      const said = await page.evaluate(async () => {
        const app = await navigator.serviceWorker.getRegistration("/app/");
        for (let tries = 0; tries < 20; tries++) {
          const [shown] = await app.getNotifications();
          if (shown) return `${shown.title}: ${shown.body}`;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        return "";
      });
      if (said) return said;
    }
  },
  /** Waits until the page hears a tone for most of a second. */
  async hears({ page, hz }) {
    await page.waitForFunction((hz) => window.heard(hz, 1000) > 0.7, hz, { polling: 100 });
  },
  /** What WCAG 2.2 AA has against the page as it is now. */
  async axe({ page }) {
    await page.evaluate(axe);
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags }), tags);
    return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html + " " + n.failureSummary).join(" | ")}`);
  },
  close: ({ page }) => (page.context().pages().length > 1 ? page.close() : page.context().close()),
  crash: ({ page }) => page.goto("chrome://crash").catch(() => {}),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, page, ...args } = JSON.parse(line);
  commands[command]({ ...args, page: page ? pages.get(page) : undefined })
    .then((value) => ({ id, value }))
    .catch((e) => ({ id, error: String(e.message ?? e) }))
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await browser.close();
