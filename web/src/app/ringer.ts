// What the advisor hears and feels when it rings. The sound is made here: no file has to
// be loaded when it is needed.

const cadence = { on: 1, off: 2 }; // seconds
const tones = [440, 480]; // Hz

let context: AudioContext | null = null;
let ringing: { gain: GainNode; sources: OscillatorNode[]; timer: number } | null = null;

/** To be called from a tap: a browser makes no sound before one. */
export function allowRinging() {
  context ??= new AudioContext();
  void context.resume();
}

export function ring(on: boolean) {
  if (on === (ringing !== null)) return;
  if (!on) {
    ringing?.sources.forEach((source) => source.stop());
    ringing?.gain.disconnect();
    clearInterval(ringing?.timer);
    ringing = null;
    navigator.vibrate?.(0);
    return;
  }
  allowRinging();
  if (!context) return;
  const gain = new GainNode(context, { gain: 0 });
  gain.connect(context.destination);
  const sources = tones.map((frequency) => {
    const source = new OscillatorNode(context as AudioContext, { frequency });
    source.connect(gain);
    source.start();
    return source;
  });
  const once = () => {
    const now = context?.currentTime ?? 0;
    gain.gain.setTargetAtTime(0.12, now, 0.02);
    gain.gain.setTargetAtTime(0, now + cadence.on, 0.02);
    navigator.vibrate?.([600, 200, 600]);
  };
  once();
  ringing = { gain, sources, timer: setInterval(once, (cadence.on + cadence.off) * 1000) as unknown as number };
}
