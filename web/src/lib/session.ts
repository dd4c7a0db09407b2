import { computed, signal } from "@preact/signals";
import { API, Problem, type Schema } from "./api";

// Who uses the page. What was handed over, a token or a site's assertion, comes in the
// address's fragment, which no server sees and no log has. It is exchanged at once: a link
// that is found later signs nobody in. The new token stays in the tab for as long as the
// tab does, or on a device that is the user's own until they sign out.

type Role = Schema["Token"]["role"];

interface Kept {
  token: string;
  owner: string; // the client or advisor; "" for others
  holder?: string; // who holds it, by name
}

export class Session {
  private readonly kept = signal<Kept | null>(null);
  readonly state = signal<"out" | "entering" | "in">("out");
  readonly refused = signal<"" | "offline" | "otherRole" | "noToken">("");

  readonly api = computed(() => new API(this.kept.value?.token ?? "", this.lost));
  readonly owner = computed(() => this.kept.value?.owner ?? "");
  readonly holder = computed(() => this.kept.value?.holder ?? "");

  constructor(
    private readonly role: Role,
    private stays = false, // on the device
  ) {
    const known = sessionStorage.getItem(this.name) ?? localStorage.getItem(this.name);
    if (localStorage.getItem(this.name)) this.stays = true;
    if (known) this.become(JSON.parse(known) as Kept);
    const look = () => {
      const handed = new URLSearchParams(location.hash.slice(1));
      const [token, assertion] = [handed.get("token"), handed.get("assertion")];
      if (!token && !assertion) return;
      history.replaceState(null, "", location.pathname + location.search); // nor is it in the history
      if (token) void this.enter(token);
      else if (assertion) void this.handIn(assertion);
    };
    look();
    addEventListener("hashchange", look);
    // Signed out, or in as somebody else, in another window.
    addEventListener("storage", (e: Event) => {
      if (this.stays && (e as StorageEvent).key === this.name && !localStorage.getItem(this.name)) this.become(null);
    });
  }

  private get name() {
    return `parley.${this.role}`;
  }

  /** Signs in with a token that was handed over. */
  enter = (handed: string) => this.exchange(() => new API(handed, () => {}).post("/v1/tokens/rotation", { body: {} }));

  /** Signs in by a site's word. */
  private handIn = (assertion: string) => this.exchange(() => new API("", () => {}).post("/v1/sessions", { body: { assertion } }));

  private async exchange(ask: () => Promise<Schema["NewToken"]>) {
    this.refused.value = "";
    this.state.value = "entering";
    try {
      this.take(await ask());
    } catch (e) {
      this.keep(null);
      this.refused.value = !(e instanceof Problem) || e.status === 0 ? "offline" : e.code === "otherRole" ? "otherRole" : "noToken";
    }
  }

  /** Signs in with a token that was made for this page; stays keeps it on the device. */
  take(token: Schema["NewToken"], stays = this.stays) {
    if (token.role !== this.role) throw new Problem(403, "otherRole");
    this.stays = stays;
    this.refused.value = "";
    this.keep({ token: token.token, owner: token.advisor ?? token.client ?? "", holder: token.holder ?? "" });
  }

  async leave() {
    await this.api.value.delete("/v1/tokens/current").catch(() => {}); // it ends by itself, too
    this.keep(null);
  }

  private readonly lost = () => {
    this.keep(null);
    this.refused.value = "noToken";
  };

  private keep(kept: Kept | null) {
    const [here, other] = this.stays ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
    other.removeItem(this.name);
    if (kept) here.setItem(this.name, JSON.stringify(kept)); // at once: other windows look
    else here.removeItem(this.name);
    this.become(kept);
  }

  private become(kept: Kept | null) {
    this.kept.value = kept;
    this.state.value = kept ? "in" : "out";
  }
}
