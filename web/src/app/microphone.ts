import { signal } from "@preact/signals";

// The microphone is opened when the advisor goes on line, not when it rings: who is asked
// for it then has missed the call. Until a call it is muted: the browser shows that it
// is in use, and leaves a page that uses it running in the background.

export type Permission = "unknown" | "granted" | "denied" | "missing";

const wanted: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Microphone {
  readonly permission = signal<Permission>("unknown");
  private stream: MediaStream | null = null;
  private opening: Promise<MediaStream | null> | null = null;

  /** Told of a track that took the place of one whose device went away. */
  replaced: (track: MediaStreamTrack) => void = () => {};

  /** Asks for the microphone where it is not open; null where there is none to be had. */
  open(): Promise<MediaStream | null> {
    if (this.stream?.getAudioTracks().some((track) => track.readyState === "live")) return Promise.resolve(this.stream);
    this.opening ??= this.ask().finally(() => (this.opening = null));
    return this.opening;
  }

  private async ask(): Promise<MediaStream | null> {
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (e) {
      this.permission.value = e instanceof DOMException && e.name === "NotFoundError" ? "missing" : "denied";
      return null;
    }
    this.permission.value = "granted";
    this.mute(true);
    for (const track of this.stream.getAudioTracks()) track.addEventListener("ended", () => void this.unplugged());
    return this.stream;
  }

  /** A headset was taken off: go on with what there is. */
  private async unplugged() {
    const [track] = (await this.open())?.getAudioTracks() ?? [];
    if (track) this.replaced(track);
  }

  mute(muted: boolean) {
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
  }
}
