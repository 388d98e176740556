/** Breaks the roles of sessions. Importing this module makes every session of the test file run its
 * roles in Workers that can be broken, in place of the engine's own. */

/** Destroys a role's device, lets its Worker fail, or lets it end without a word. */
export type Fault = "device" | "worker" | "silence";

/** The newest Worker of each role. */
const newest = new Map<string, Worker>();

globalThis.Worker = class extends Worker {
  constructor(url: string | URL, options: WorkerOptions = {}) {
    const isRole = `${url}`.endsWith("/engine/roles/role_worker.ts");
    super(isRole ? new URL("./faulty_worker.ts", import.meta.url) : url, options);
    if (!isRole) return;
    const name = options.name ?? "";
    for (const role of name === "fused" ? ["thinker", "performer"] : [name]) newest.set(role, this);
  }
};

/** Breaks the newest Worker that plays this role, alone or with another. */
export function breakRole(role: "thinker" | "performer", fault: Fault): void {
  const worker = newest.get(role);
  if (!worker) throw new Error(`no Worker plays the ${role}`);
  worker.postMessage({ breaks: fault });
}
