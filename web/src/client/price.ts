import type { Schema } from "../lib/api";
import { language } from "../texts";

// What money is worth, for what is shown before the host is asked. What it asks for and
// charges is the host's own word.

type Price = Schema["Price"];

/** Seconds that an amount buys; none where it does not cover the fee. */
export function buys(price: Price, amount: number): number {
  if (price.per_minute <= 0) return Infinity;
  const paid = ((amount - price.fee) / price.per_minute) * 60;
  if (paid < 0) return 0;
  const step = Math.max(1, price.increment_seconds);
  const seconds = Math.floor(paid / step) * step;
  return seconds < price.minimum_seconds ? price.free_seconds : seconds + price.free_seconds;
}

/** Seconds of a talk that are charged. */
export function counted(price: Price, seconds: number): number {
  const paid = seconds - price.free_seconds;
  if (paid <= 0) return 0;
  const step = Math.max(1, price.increment_seconds);
  return Math.ceil(Math.max(paid, price.minimum_seconds) / step) * step;
}

/** How many minor units a major one has, such as 100. */
export function minor(currency: string): number {
  const { maximumFractionDigits = 2 } = new Intl.NumberFormat(language, { style: "currency", currency }).resolvedOptions();
  return 10 ** maximumFractionDigits;
}

/** Amounts to choose from: what is missing first, where something is. */
export function amounts(currency: string, missing = 0): number[] {
  const usual = [10, 20, 50, 100, 200, 500, 1000].map((n) => n * minor(currency));
  return missing ? [missing, ...usual.filter((n) => n > missing)].slice(0, 3) : usual.slice(0, 3);
}

/** An amount as it was written, in minor units; null where it is none. */
export function parse(text: string, currency: string): number | null {
  const plain = text.trim().replace(",", ".");
  if (!/^\d+(\.\d{1,3})?$/.test(plain)) return null;
  return Math.round(Number(plain) * minor(currency));
}
