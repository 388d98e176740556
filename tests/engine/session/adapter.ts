/** Tests that need a WebGPU adapter. */
import { InputError } from "../../../engine/config/errors.ts";
import { requestAdapter } from "../../../kernels/gpu/adapter.ts";

export const hasAdapter = await requestAdapter().then(() => true, (error) => {
  if (error instanceof InputError) return false;
  throw error;
});

/** A test that is skipped where there is no adapter, or for the reason that is given. */
export function withAdapter(name: string, fn: () => Promise<void>, reason?: string): void {
  const why = reason ?? (hasAdapter ? undefined : "no WebGPU adapter on this machine");
  Deno.test({
    name: why ? `${name} (skipped: ${why})` : name,
    ignore: why !== undefined,
    // Terminated Workers leave their ports behind.
    sanitizeOps: false,
    sanitizeResources: false,
    fn,
  });
}
