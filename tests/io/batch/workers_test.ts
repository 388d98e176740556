/** Workers with real models. */
import { assert, assertEquals } from "@std/assert";
import { modelOpener } from "../../../io/batch/workers.ts";
import { tinyConfig } from "../../engine/support.ts";
import { withAdapter } from "../../engine/session/adapter.ts";
import { withCheckpoint } from "../../engine/tiny_checkpoint.ts";

withAdapter("workers that open at once choose the same kernels, measured once", async () => {
  await withCheckpoint(tinyConfig(), async (folder) => {
    const opener = modelOpener();
    // A place that can't be written: what was measured is shared all the same.
    const options = { "tune-cache": `${folder}/config.json/tune.json`, quiet: true };
    const models = await Promise.all([0, 1].map(() => opener.open(folder, options)));
    const sessions = await Promise.all(models.map((model) => model.open({}, {})));
    const [one, other] = sessions.map(({ info }) => info.thinker?.kernels);
    assert(one && Object.keys(one).length > 0);
    assertEquals(other, one);
    for (const { session } of sessions) await session.close();
    for (const model of models) await model.close();
  });
});
