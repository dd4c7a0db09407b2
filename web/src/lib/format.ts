import { language } from "../texts";

// Amounts, lengths and times as people of the page's language write them.

/** An amount of minor units, such as cents. */
export function money(amount: number, currency: string): string {
  const format = new Intl.NumberFormat(language, { style: "currency", currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amount / 10 ** digits);
}

/** A length as a clock shows it: 0:07, 12:34, 1:02:03. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** A length in words: 45 sec, 12 min, 1 hr 5 min. */
export function length(seconds: number): string {
  const unit = (n: number, name: string) => new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short" }).format(n);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds % 60)];
  const parts = [h ? unit(h, "hour") : "", m ? unit(m, "minute") : "", !h && s ? unit(s, "second") : ""].filter(Boolean);
  return parts.join(" ") || unit(0, "second");
}

/** A length of which nobody needs the seconds: whole minutes from two on, rounded up. */
export const shortLength = (seconds: number) => length(seconds >= 120 ? Math.ceil(seconds / 60) * 60 : seconds);

export const time = (at: string | Date) => new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(new Date(at));
export const date = (at: string | Date) => new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(at));

/** A day and a time; the day is named where it is near. */
export function when(at: string | Date): string {
  const then = new Date(at);
  const days = Math.round((new Date(then).setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  const day = Math.abs(days) <= 1
    ? new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(days, "day")
    : new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short" }).format(then);
  return `${day} ${time(then)}`;
}

/** The same where it begins a line. */
export const whenFirst = (at: string | Date) => capital(when(at));

export const capital = (text: string) => text.slice(0, 1).toLocaleUpperCase(language) + text.slice(1);

/** A telephone number in groups that can be read out. */
export const number = (e164: string) => e164.replace(/^(\+\d{2})(\d{2,3})(\d{3})(\d+)$/, (_, c, a, b, rest: string) => `${c} ${a} ${b} ${rest.replace(/(\d{3})(?=\d{2})/g, "$1 ")}`);
