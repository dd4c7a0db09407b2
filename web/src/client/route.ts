import { computed, signal } from "@preact/signals";

// Where in the page the client is: the fragment, so that links, reloads and the way back
// work without the host's help.

type Place = "advisors" | "advisor" | "time" | "account" | "receipt";

const fragment = signal(location.hash);
addEventListener("hashchange", () => (fragment.value = location.hash));

export const route = computed<{ place: Place; id: string }>(() => {
  const [, place = "", id = ""] = fragment.value.split("/");
  if (place === "account") return { place, id: "" };
  if ((place === "advisor" || place === "time" || place === "receipt") && /^[a-z0-9_]+$/.test(id)) return { place, id };
  return { place: "advisors", id: "" };
});

export const to = {
  advisors: "#/",
  account: "#/account",
  advisor: (id: string) => `#/advisor/${id}`,
  time: (id: string) => `#/time/${id}`,
  receipt: (call: string) => `#/receipt/${call}`,
};

export const go = (hash: string) => (location.hash = hash);
