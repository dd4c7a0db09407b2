import { en } from "./en";

// All words of all pages, in one catalogue a language. To add one: a file like en.ts of
// the type Texts, and its line here.

export type Texts = typeof en;

const catalogues: Record<string, Texts> = { en };

const wanted = navigator.languages.map((tag) => tag.split("-")[0] ?? "").find((tag) => catalogues[tag]) ?? "en";

export const t: Texts = catalogues[wanted] ?? en;

/** Of words, numbers and times alike: the reader's own kind of the language that is shown. */
export const language = navigator.languages.find((tag) => tag.split("-")[0] === wanted) ?? wanted;

if (typeof document !== "undefined") document.documentElement.lang = wanted; // a service worker has none
