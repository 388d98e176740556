import { assert, assertEquals } from "@std/assert";
import { torchTicks } from "../../../io/bench/peers/torch_ticks.ts";
import { existing } from "../../../scripts/programs.ts";

const fake = `
import json, sys
print(json.dumps({"version": "9.9"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps([1000.0 * asked["threads"]] * asked["ticks"]), flush=True)
`;

Deno.test({
  name: "ticks stand beside those of each PyTorch that is here; what is missing is named",
  ignore: existing(["/usr/bin/python3"]).length === 0,
  async fn() {
    const scripts = `${await Deno.makeTempDir()}/`;
    try {
      await Deno.mkdir(`${scripts}train`);
      await Deno.writeTextFile(`${scripts}train/tick.py`, fake);
      const missing: { library: string; why: string }[] = [];
      const { figures } = await torchTicks(scripts, "default", 2, () => {}, missing);
      assertEquals(missing.map(({ library }) => library), ["PyTorch of scripts/.venv"]);
      assert(missing[0]?.why.includes("deno task setup --training"));
      const [own, one] = figures;
      assert(own && one && own.ms !== undefined && own.ratio === 1);
      assertEquals([one.library, one.version, one.ms], ["PyTorch, 1 thread", "9.9", 1000]);
      assertEquals(one.ratio, 1000 / own.ms);

      await Deno.writeTextFile(`${scripts}train/tick.py`, "raise SystemExit('no torch here')");
      await torchTicks(scripts, "default", 1, () => {}, missing);
      assertEquals(missing.at(-1), { library: "PyTorch of the system", why: "no torch here" });
    } finally {
      await Deno.remove(scripts, { recursive: true });
    }
  },
});
