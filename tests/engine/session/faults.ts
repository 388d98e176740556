/** Breaks the roles of sessions. Importing this module makes every session of the test file run its
 * roles in Workers that can be broken, in place of the engine's own. */
import { roleProgram } from "../../../engine/session/role_worker_handle.ts";

/** Destroys a role's device, lets its Worker fail, or lets it end without a word. */
export type Fault = "device" | "worker" | "silence";

roleProgram.url = new URL("./faulty_worker.ts", import.meta.url);
const channel = new BroadcastChannel("faults");

/** Breaks the Workers that play this role, alone or with another. */
export function breakRole(role: "thinker" | "performer", fault: Fault): void {
  channel.postMessage({ role, fault });
}
