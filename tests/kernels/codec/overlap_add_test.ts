import { assertEquals } from "@std/assert";
import { overlapAdd } from "../../../kernels/codec/overlap_add.ts";
import { readTensor } from "../../../kernels/gpu/readback.ts";
import { normal, random } from "../../reference/random.ts";
import { block, overlapAddReference } from "../../reference/coder.ts";
import { assertClose, poisoned, run, surrounded, withGpu } from "../support.ts";

withGpu(
  "overlapAdd() joins frames with the tail before them and leaves the next one",
  async (gpu) => {
    const next = random(4);
    for (const [frames, hop] of [[1, 1], [1, 5], [3, 4], [32, 80]] as const) {
      // One frame more in front: its second half is the tail.
      const data = normal(next, (frames + 1) * 2 * hop);
      const whole = overlapAddReference(block([frames + 1, 1, 1, 2 * hop], data), hop);
      const x = surrounded(gpu, "x", [frames, 1, 1, 2 * hop], data.slice(2 * hop));
      const tail = surrounded(gpu, "tail", [hop], data.slice(hop, 2 * hop));
      const y = poisoned(gpu, "y", [frames * hop, 1, 1, 1]);
      run(gpu, ...overlapAdd(gpu, { label: "test", x, tail, y }));
      assertClose(await readTensor(gpu, y), whole.data.subarray(hop), { absolute: 1e-6 });
      assertEquals([...await readTensor(gpu, tail)], [...data.slice(-hop)]);
    }
  },
);
