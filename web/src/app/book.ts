import { kept } from "./kept";
import { me, session } from "./model";

// What is past: earnings, calls, and the clients who called.

const own = () => ({ path: { id: me.value } });
const changes = /^(call\.ended|adjustment\.made)$/;

export const earnings = kept(() => session.api.value.get("/v1/advisors/{id}/earnings", own()), changes);
export const calls = kept(async () => (await session.api.value.get("/v1/advisors/{id}/calls", { ...own(), query: { limit: 50 } })).calls, changes);
export const clients = kept(async () => (await session.api.value.get("/v1/advisors/{id}/clients", { ...own(), query: { limit: 100 } })).clients, changes);
export const blocks = kept(async () => (await session.api.value.get("/v1/advisors/{id}/blocks", own())).blocks, /^$/);
