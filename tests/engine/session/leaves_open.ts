/** A script that closes nothing: it ends by itself, and says last what it did. */
import { openModel, openSession } from "../../../engine/mod.ts";
import { randomCheckpoint, randomObservations, tinyConfig } from "../support.ts";

const config = tinyConfig();
const checkpoint = await randomCheckpoint(config, 21);
const list = randomObservations(config, 3, 31);
const units: number[] = [];

const finished = await openSession(checkpoint, { placement: "split" });
for await (const { unit } of finished.respond(list)) units.push(unit);

const model = await openModel(checkpoint, { placement: "fused" });
await model.openSession();
const idle = await model.openSession();
for (const observation of list) units.push((await idle.step(observation)).unit);
for (const observation of list.slice(0, 1)) await idle.push(observation);
units.push((await idle.snapshot()).meta.unit);
await Deno.stdout.write(new TextEncoder().encode(units.join()));
