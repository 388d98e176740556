/**
 * What a graphics card does, in a few minutes of it (docs/bench.md): features, which kernels are right,
 * ceilings, kernels at six shapes, ticks.
 *
 *     deno task bench-gpu [--minutes N] [-o FOLDER]
 *
 * Needs Deno (a single file), the Vulkan loader and the card's driver; weights are random and made in
 * memory. At its first start Deno fetches npm packages; without a network, copy a DENO_DIR that has them.
 */
import { fileURLToPath } from "node:url";
import { InputError } from "../engine/config/errors.ts";
import { run } from "../io/bench/card/card.ts";
import { goWhereCalled } from "../io/cli/where_called.ts";
import { say } from "../io/system/terminal.ts";

if (import.meta.main) {
  const root = fileURLToPath(new URL("..", import.meta.url));
  goWhereCalled(root);
  try {
    Deno.exit(await run(Deno.args, root));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    say(`bench-gpu: ${error.message}`);
    Deno.exit(2);
  }
}
