import { computed, signal } from "@preact/signals";
import { API, Problem, type Schema } from "./api";

// Who uses the page. The token comes in the address's fragment, which no server sees and
// no log has. It is exchanged at once: a link that is found later signs nobody in. The
// new one stays in the tab for as long as the tab does.

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

  constructor(private readonly role: Role) {
    const known = sessionStorage.getItem(this.name);
    if (known) this.keep(JSON.parse(known) as Kept);
    const look = () => {
      const handed = new URLSearchParams(location.hash.slice(1)).get("token");
      if (!handed) return;
      history.replaceState(null, "", location.pathname + location.search); // nor is it in the history
      void this.enter(handed);
    };
    look();
    addEventListener("hashchange", look);
  }

  private get name() {
    return `parley.${this.role}`;
  }

  /** Signs in with a token that was handed over. */
  async enter(handed: string) {
    this.refused.value = "";
    this.state.value = "entering";
    try {
      const token = await new API(handed, () => {}).post("/v1/tokens/rotation", { body: {} });
      if (token.role !== this.role) throw new Problem(403, "otherRole");
      this.keep({ token: token.token, owner: token.advisor ?? token.client ?? "", holder: token.holder ?? "" });
    } catch (e) {
      this.keep(null);
      this.refused.value = !(e instanceof Problem) || e.status === 0 ? "offline" : e.code === "otherRole" ? "otherRole" : "noToken";
    }
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
    if (kept) sessionStorage.setItem(this.name, JSON.stringify(kept));
    else sessionStorage.removeItem(this.name);
    this.kept.value = kept;
    this.state.value = kept ? "in" : "out";
  }
}
