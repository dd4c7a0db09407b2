import { useId } from "preact/hooks";

// Bars over time, drawn by ourselves. What they show is said in a sentence, and a table
// on the same page has all of it.

interface Series {
  name: string;
  values: number[];
}

// The drawing's own units: about those of a phone.
const size = { width: 360, height: 170, start: 48, end: 4, top: 8, bottom: 22 };
const steps = 4; // of the scale, at most
const marked = 6; // hours between two that are named

/** The step of a scale up to most, of the kind 1, 2, 5, 10, 20... */
function step(most: number, whole: boolean): number {
  const least = most / steps;
  const power = 10 ** Math.floor(Math.log10(least || 1));
  const nice = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least) ?? least;
  return whole ? Math.max(1, Math.ceil(nice)) : nice;
}

/** Bars; those of back stand behind those of front, which are a part of them. */
export function Bars(p: {
  said: string;
  at: string[];
  front: Series;
  back?: Series;
  write: (n: number) => string;
  most?: number;
  whole?: boolean;
}) {
  const id = useId();
  const highest = p.most ?? Math.max(...p.front.values, ...(p.back?.values ?? []), 0);
  const by = p.most ? p.most / steps : step(highest || 1, p.whole ?? false);
  const top = p.most ?? Math.max(1, Math.ceil(highest / by)) * by;
  const high = size.height - size.top - size.bottom;
  const wide = (size.width - size.start - size.end) / Math.max(1, p.at.length);
  const y = (n: number) => size.height - size.bottom - (n / top) * high;
  const bar = (name: string, n: number, i: number) =>
    n > 0 && <rect class={name} x={size.start + i * wide + 1} width={Math.max(1, wide - 2)} y={Math.min(y(n), y(0) - 1)} height={Math.max(1, y(0) - y(n))} rx="1.5" />;
  return (
    <figure class="stack" aria-labelledby={id}>
      <figcaption id={id}>{p.said}</figcaption>
      <svg class="plot" viewBox={`0 0 ${size.width} ${size.height}`} aria-hidden="true">
        {Array.from({ length: Math.round(top / by) + 1 }, (_, i) => i * by).map((n) => (
          <g key={n}>
            <line x1={size.start} x2={size.width - size.end} y1={y(n)} y2={y(n)} />
            <text x={size.start - 6} y={y(n) + 4} text-anchor="end">
              {p.write(n)}
            </text>
          </g>
        ))}
        {p.at.map((at, i) => (
          <g key={at}>
            <title>{[at, ...[p.front, p.back].map((s) => s && `${s.name}: ${p.write(s.values[i] ?? 0)}`)].filter(Boolean).join("\n")}</title>
            <rect x={size.start + i * wide} width={wide} y={size.top} height={high} fill="transparent" />
            {p.back && bar("back", p.back.values[i] ?? 0, i)}
            {bar("front", p.front.values[i] ?? 0, i)}
            {(p.at.length - 1 - i) % marked === 0 && (
              <text x={size.start + (i + 0.5) * wide} y={size.height - 6} text-anchor={i === p.at.length - 1 ? "end" : "middle"}>
                {at}
              </text>
            )}
          </g>
        ))}
      </svg>
      {p.back && (
        <p class="key soft" aria-hidden="true">
          <span class="back">{p.back.name}</span>
          <span>{p.front.name}</span>
        </p>
      )}
    </figure>
  );
}

/** A line of bars without a scale; what it shows is said beside it. */
export function Spark(p: { values: number[] }) {
  const most = Math.max(1, ...p.values);
  const wide = 8;
  const high = 40;
  return (
    <svg class="spark" viewBox={`0 0 ${p.values.length * wide} ${high}`} preserveAspectRatio="none" aria-hidden="true">
      {p.values.map((n, i) => (
        <rect key={i} class={n ? "front" : "none"} x={i * wide + 1} width={wide - 2} y={high - Math.max(1.5, (n / most) * high)} height={Math.max(1.5, (n / most) * high)} rx="1" />
      ))}
    </svg>
  );
}
