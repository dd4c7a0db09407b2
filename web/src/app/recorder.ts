import { signal } from "@preact/signals";

// Records the greeting with the device's microphone, beside the phone.

const most = 60_000; // ms; the host takes no longer ones

export class Recorder {
  readonly since = signal(0); // ms; 0: nothing is recorded
  readonly take = signal<{ file: Blob; url: string } | null>(null);
  private recorder: MediaRecorder | null = null;

  /** Begins; false where there is no microphone to be had. */
  async start(): Promise<boolean> {
    this.forget();
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => null);
    if (!stream) return false;
    const parts: Blob[] = [];
    const recorder = new MediaRecorder(stream);
    this.recorder = recorder;
    const enough = setTimeout(() => this.stop(), most - 500); // its end is not cut to the millisecond
    recorder.addEventListener("dataavailable", (e) => parts.push(e.data));
    recorder.addEventListener("stop", () => {
      clearTimeout(enough);
      for (const track of stream.getTracks()) track.stop();
      this.recorder = null;
      this.since.value = 0;
      const file = new Blob(parts, { type: recorder.mimeType });
      this.take.value = { file, url: URL.createObjectURL(file) };
    });
    recorder.start();
    this.since.value = Date.now();
    return true;
  }

  stop() {
    if (this.recorder?.state === "recording") this.recorder.stop();
  }

  forget() {
    if (this.take.value) URL.revokeObjectURL(this.take.value.url);
    this.take.value = null;
  }
}
