import { signal } from "@preact/signals";
import { UA, WebSocketInterface } from "jssip";
import type { DTMF_TRANSPORT } from "jssip/lib/Constants";
import type { EndEvent, RTCSession } from "jssip/lib/RTCSession";
import type { RTCSessionEvent } from "jssip/lib/UA";
import { Microphone } from "./microphone";

// The phone in the page: SIP over the host's /ws (RFC 7118), sound by WebRTC. It takes
// one call at a time, and knows nothing of clients, money or verification.

/** How the phone stands with the exchange. */
export type Registration = "off" | "connecting" | "ready" | "lost" | "refused";

export type Ending = "here" | "there" | "missed" | "declined" | "broken" | "microphone";

export interface Call {
  id: string;
  /** What the exchange tells of the caller, where it does. */
  about: { kind: string; alias: string; topic: string; seconds: number }; // seconds: that the client's money buys
  phase: "ringing" | "joining" | "up" | "over";
  since: number; // ms; of the phase
  muted: boolean;
  trouble: boolean; // the sound is interrupted
  ending?: Ending;
}

export interface Account {
  user: string;
  password: string;
}

const reconnect = { least: 2, most: 15 }; // seconds
const again = 2_000; // ms
const expires = 120; // seconds; who vanished is not rung for longer
const digit = { duration: 120, interToneGap: 90, transportType: "RFC2833" as DTMF_TRANSPORT }; // ms
const backWithin = 25_000; // ms; the exchange itself gives a silent leg up after 30 s
const addressesWithin = 200; // ms from the first of the device's addresses to the answer that names them

export class Phone {
  readonly registration = signal<Registration>("off");
  readonly call = signal<Call | null>(null);
  readonly microphone = new Microphone();

  private ua: UA | null = null;
  private session: RTCSession | null = null;
  private cut = false; // the connection was lost since the phone was registered
  private readonly sound = Object.assign(new Audio(), { autoplay: true });

  constructor() {
    this.microphone.replaced = (track) => {
      track.enabled = this.session !== null && !this.call.value?.muted;
      for (const sender of this.session?.connection?.getSenders() ?? []) void sender.replaceTrack(track);
    };
  }

  /** Goes on line as an account, and stays so until stop. */
  start(account: Account) {
    this.stop();
    const { protocol, host, hostname } = location;
    const socket = new WebSocketInterface(`${protocol === "https:" ? "wss" : "ws"}://${host}/ws`);
    const ua = new UA({
      sockets: [socket],
      uri: `sip:${account.user}@${hostname}`,
      authorization_user: account.user,
      password: account.password,
      register_expires: expires,
      connection_recovery_min_interval: reconnect.least,
      connection_recovery_max_interval: reconnect.most,
      user_agent: "Parley app",
    });
    this.ua = ua;
    this.cut = false;
    this.registration.value = "connecting";
    const mine = <E>(f: (e: E) => void) => (e: E) => void (this.ua === ua && f(e));
    ua.on("registered", mine(() => {
      this.registration.value = "ready";
      if (this.cut) this.afterCut();
      this.cut = false;
    }));
    ua.on("registrationFailed", mine(({ response }) => {
      this.registration.value = response ? "refused" : "lost";
      // Of a new line the exchange hears within seconds. Without a response the connection
      // is to blame, after which JsSIP tries again by itself.
      if (response) setTimeout(mine(() => ua.register()), again);
    }));
    ua.on("disconnected", mine(() => {
      this.cut = true;
      this.registration.value = "lost";
    }));
    ua.on("newRTCSession", mine(({ session, originator }: RTCSessionEvent) => {
      if (String(originator) === "remote") this.incoming(session);
    }));
    ua.start();
  }

  /** Goes off line. A call that is up ends. */
  stop() {
    const ua = this.ua;
    this.ua = null;
    this.hangUp();
    ua?.stop();
    this.registration.value = "off";
  }

  private incoming(session: RTCSession) {
    if (this.session) {
      session.terminate({ status_code: 486 });
      return;
    }
    this.session = session;
    const header = (name: string) => plain(session, name);
    this.call.value = {
      id: session.id,
      about: {
        kind: header("X-Parley-Kind"),
        alias: header("X-Parley-Alias"),
        topic: header("X-Parley-Topic"),
        seconds: Number(header("X-Parley-Seconds")) || 0,
      },
      phase: "ringing",
      since: Date.now(),
      muted: false,
      trouble: false,
    };
    // Not the first address alone: where that is IPv6 and the exchange has none, the two
    // never meet. Not all of them either, where a device has many: the exchange learns of
    // the rest by itself (RFC 8445, peer reflexive).
    session.on("icecandidate", (e) => setTimeout(e.ready, addressesWithin));
    session.on("peerconnection", ({ peerconnection }) => this.watch(session, peerconnection));
    session.on("confirmed", () => this.joined(session));
    session.on("failed", (e) => this.over(session, failure(e)));
    session.on("ended", (e) => this.over(session, ended(e)));
  }

  private watch(session: RTCSession, peer: RTCPeerConnection) {
    let wait = 0;
    peer.addEventListener("track", (e) => {
      this.sound.srcObject = e.streams[0] ?? new MediaStream([e.track]);
    });
    peer.addEventListener("connectionstatechange", () => {
      const state = peer.connectionState;
      clearTimeout(wait);
      this.joined(session);
      this.change(session, { trouble: state === "disconnected" || state === "failed" });
      if (state === "disconnected" && this.registration.value === "ready") this.mend(session);
      // JsSIP looks at iceConnectionState, which never gets that far.
      if (state === "failed") {
        const gone = () => this.end(session, "broken");
        if (this.registration.value === "ready") gone();
        else wait = setTimeout(gone, backWithin) as unknown as number; // the network may come back
      }
    });
  }

  /** The call is up when there is sound: a digit that is keyed before is lost. For some
   * milliseconds more the browser takes no digits, and says so by no event. */
  private joined(session: RTCSession) {
    const joining = session === this.session && this.call.value?.phase === "joining";
    const peer = session.connection;
    if (!joining || !session.isEstablished() || peer?.connectionState !== "connected") return;
    if (peer.getSenders().some((sender) => sender.dtmf?.canInsertDTMF)) this.change(session, { phase: "up", since: Date.now() });
    else setTimeout(() => this.joined(session), 50);
  }

  /** The exchange's BYE may have gone to the connection that was lost: ask. Whoever is
   * told that there is no such call (481) ends it. */
  private afterCut() {
    if (this.session?.isEstablished()) this.mend(this.session);
  }

  /** Tells the exchange where this phone is now, and finds a way for the sound anew where
   * it has none. */
  private mend(session: RTCSession) {
    const peer = session.connection;
    const silent = peer?.connectionState === "disconnected" || peer?.connectionState === "failed";
    if (silent) session.renegotiate({ rtcOfferConstraints: { iceRestart: true } });
    else session.renegotiate({ useUpdate: true });
  }

  async answer() {
    const session = this.session;
    if (!session || this.call.value?.phase !== "ringing") return;
    this.change(session, { phase: "joining", since: Date.now() });
    const stream = await this.microphone.open();
    if (session !== this.session) return; // they hung up meanwhile
    if (!stream) {
      this.end(session, "microphone", 480);
      return;
    }
    this.microphone.mute(false);
    session.answer({ mediaStream: stream, pcConfig: { iceServers: [] } });
  }

  /** Declines with 603, which tells it from a phone that was not answered. */
  decline() {
    if (this.session) this.end(this.session, "declined", 603);
  }

  hangUp() {
    if (this.session) this.end(this.session, this.session.isEstablished() ? "here" : "declined", 603);
  }

  /** Keys a digit as RFC 4733 has it, within the sound. */
  key(tone: string) {
    if (this.session?.isEstablished()) this.session.sendDTMF(tone, digit);
  }

  mute(muted: boolean) {
    if (!this.session) return;
    this.microphone.mute(muted);
    this.change(this.session, { muted });
  }

  /** The call's end was seen. */
  dismiss() {
    if (!this.session) this.call.value = null;
  }

  private end(session: RTCSession, why: Ending, status = 603) {
    if (!session.isEnded()) session.terminate(session.isEstablished() ? {} : { status_code: status });
    this.over(session, why);
  }

  private over(session: RTCSession, why: Ending) {
    if (session !== this.session) return;
    this.change(session, { phase: "over", since: Date.now(), trouble: false, ending: why });
    this.session = null;
    this.sound.srcObject = null;
    this.microphone.mute(true);
  }

  private change(session: RTCSession, what: Partial<Call>) {
    if (session === this.session && this.call.value) this.call.value = { ...this.call.value, ...what };
  }
}

/** A header of the call's INVITE, percent-encoded since SIP's headers may not hold all. */
function plain(session: RTCSession, name: string): string {
  const request = (session as unknown as { _request?: { getHeader(name: string): string | undefined } })._request;
  const text = request?.getHeader(name) ?? "";
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function failure(e: EndEvent): Ending {
  if (String(e.originator) === "remote") return "missed"; // they gave up, or the exchange did
  return e.cause === "Rejected" || e.cause === "Canceled" ? "declined" : "broken";
}

const ended = (e: EndEvent): Ending => (String(e.originator) === "remote" ? "there" : e.cause === "Terminated" ? "here" : "broken");
