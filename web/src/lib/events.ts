import { type Signal, signal } from "@preact/signals";
import type { API, Schema } from "./api";

// The host's events (server-sent, read by fetch since EventSource can send no token).
// The stream mends itself and goes on after the last event, so nothing is missed.

export type Connection = "opening" | "up" | "lost";

const silence = 40_000; // ms; the host says something every 15 s
const pauses = [500, 1_000, 2_000, 4_000, 8_000]; // ms

export interface Listener {
  /** What is shown may be old: look anew. Called before the first event, too. */
  fresh: () => void;
  event: (e: Schema["Event"]) => void;
  over: () => void; // the token is not good any more
}

/** Listens until the returned function is called. */
export function listen(api: API, to: Listener): { connection: Signal<Connection>; stop: () => void } {
  const connection = signal<Connection>("opening");
  const stopping = new AbortController();
  let wake = () => {};
  const online = () => wake();
  addEventListener("online", online);
  stopping.signal.addEventListener("abort", () => {
    removeEventListener("online", online);
    wake();
  });

  let last = "";
  const once = async (): Promise<void> => {
    const cut = new AbortController();
    const stop = () => cut.abort();
    stopping.signal.addEventListener("abort", stop);
    let quiet = setTimeout(stop, silence);
    try {
      const headers: Record<string, string> = { Authorization: `Bearer ${api.token}`, Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch("/v1/events", { headers, signal: cut.signal, cache: "no-store" });
      if (answer.status === 401) {
        to.over();
        stopping.abort();
        return;
      }
      if (answer.status === 422) last = ""; // the event is not known there: begin anew
      if (!answer.ok || !answer.body) return;
      const resumed = last !== "";
      connection.value = "up";
      if (!resumed) to.fresh();
      await read(answer.body, (id, data) => {
        clearTimeout(quiet);
        quiet = setTimeout(stop, silence);
        if (id) last = id;
        if (data) to.event(JSON.parse(data));
      });
    } catch {
      // it was cut off, or never began
    } finally {
      clearTimeout(quiet);
      stopping.signal.removeEventListener("abort", stop);
    }
  };

  const forever = async () => {
    for (let failed = 0; !stopping.signal.aborted; ) {
      await once();
      if (stopping.signal.aborted) return;
      failed = connection.value === "up" ? 0 : failed + 1;
      connection.value = "lost";
      const pause = pauses[Math.min(failed, pauses.length - 1)] ?? 0;
      await new Promise<void>((resolve) => {
        wake = resolve;
        setTimeout(resolve, pause * (0.5 + Math.random() / 2)); // not all pages at once
      });
    }
  };
  void forever();
  return { connection, stop: () => stopping.abort() };
}

/** Reads a stream as the HTML standard says, section 9.2.6; our host ends lines by \n. */
async function read(body: ReadableStream<Uint8Array>, tell: (id: string, data: string) => void): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      let id = "";
      const data: string[] = [];
      for (const line of text.slice(0, end).split("\n")) {
        if (line.startsWith("id:")) id = line.slice(3).trim();
        if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      tell(id, data.join("\n"));
    }
  }
}
