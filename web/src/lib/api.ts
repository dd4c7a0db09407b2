import type { components, paths } from "./schema";

// Requests to the host's API, typed by its OpenAPI description. What goes wrong comes
// as a Problem, whether the host said it or the network did not let it.

export type Schema = components["schemas"];
type Method = "get" | "post" | "put" | "patch" | "delete";
type Operation<P extends keyof paths, M extends Method> = M extends keyof paths[P] ? NonNullable<paths[P][M]> : never;
type Of<O, K extends "path" | "query"> = O extends { parameters: infer P } ? (K extends keyof P ? NonNullable<P[K]> : never) : never;
type Body<O> = O extends { requestBody?: { content: { "application/json": infer B } } } ? B : never;
type Answer<O> = O extends { responses: infer R }
  ? { [S in keyof R & (200 | 201)]: R[S] extends { content: { "application/json": infer A } } ? A : void }[keyof R & (200 | 201)]
  : never;

export interface Ask<O> {
  path?: Of<O, "path">;
  query?: Of<O, "query">;
  body?: Body<O>;
  key?: string; // the Idempotency-Key, where the same is to be asked again
  last?: boolean; // the page is going: send it all the same
  file?: Blob; // the body, where it is no JSON
}

export class Problem extends Error {
  constructor(
    readonly status: number, // 0: the host was not reached
    readonly code: string,
    readonly said: Partial<Schema["Problem"]> = {},
  ) {
    super(said.title ?? code);
  }
}

const patience = 15_000; // ms; the host gives up sooner
const uploads = 90_000; // ms; so does it for a file

export class API {
  constructor(
    readonly token: string,
    private readonly over: () => void, // the token is not good any more
  ) {}

  get = <P extends keyof paths>(path: P, ask: Ask<Operation<P, "get">> = {}) => this.send<P, "get">("get", path, ask);
  post = <P extends keyof paths>(path: P, ask: Ask<Operation<P, "post">> = {}) => this.send<P, "post">("post", path, ask);
  put = <P extends keyof paths>(path: P, ask: Ask<Operation<P, "put">> = {}) => this.send<P, "put">("put", path, ask);
  patch = <P extends keyof paths>(path: P, ask: Ask<Operation<P, "patch">> = {}) => this.send<P, "patch">("patch", path, ask);
  delete = <P extends keyof paths>(path: P, ask: Ask<Operation<P, "delete">> = {}) => this.send<P, "delete">("delete", path, ask);

  /** A file that only who is signed in may have. */
  async file(path: "/v1/advisors/{id}/greeting", values: { id: string }): Promise<Blob> {
    const headers = { Authorization: `Bearer ${this.token}` };
    const answer = await fetch(fill(path, values, {}), { headers, signal: AbortSignal.timeout(patience) }).catch(() => null);
    if (!answer) throw new Problem(0, "offline");
    if (!answer.ok) throw new Problem(answer.status, "internal");
    return answer.blob();
  }

  private async send<P extends keyof paths, M extends Method>(method: M, path: P, ask: Ask<Operation<P, M>>): Promise<Answer<Operation<P, M>>> {
    const where = fill(String(path), ask.path ?? {}, ask.query ?? {});
    const headers: Record<string, string> = { Authorization: `Bearer ${this.token}`, Accept: "application/json" };
    if (ask.body !== undefined) headers["Content-Type"] = "application/json";
    if (ask.file) headers["Content-Type"] = "application/octet-stream";
    if (method === "post") headers["Idempotency-Key"] = ask.key ?? newKey();
    let answer: Response;
    try {
      answer = await fetch(where, {
        method: method.toUpperCase(),
        headers,
        body: ask.file ?? (ask.body === undefined ? null : JSON.stringify(ask.body)),
        keepalive: ask.last ?? false,
        signal: AbortSignal.timeout(ask.file ? uploads : patience),
      });
    } catch {
      throw new Problem(0, "offline");
    }
    if (answer.status === 401) this.over();
    const text = await answer.text().catch(() => "");
    const content = parse(text);
    if (!answer.ok) throw new Problem(answer.status, content?.code ?? "internal", content ?? {});
    return content as Answer<Operation<P, M>>;
  }
}

function fill(path: string, values: object, query: object): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String((values as Record<string, unknown>)[name])));
  const asked = Object.entries(query).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]);
  return asked.length ? `${filled}?${new URLSearchParams(asked)}` : filled;
}

function parse(text: string) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // nothing, or no answer of ours: a proxy's page
  }
}

/** A new Idempotency-Key. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
