/** The performer: solves the latents of responses. */
import { latentParts } from "../model/embedding.ts";
import type { Model } from "../model/model.ts";
import { soleUse, solverProgram, velocitySlots } from "../config/solver.ts";
import { tokenWords } from "../model/tick_tokens.ts";
import { integrate } from "../../kernels/flow/integrate.ts";
import { noise } from "../../kernels/flow/noise.ts";
import { Plan, type Step, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, rows, sharedTensor, type Tensor, upload } from "../../kernels/gpu/tensor.ts";

/**
 * The role that solves the flow-matching ODE for the next response's latents. It works on its own copy
 * of history, to which it appends the thinker's slices; in a `fused` session it shares the thinker's
 * history and device, and nothing is appended. It never encodes and never decodes.
 */
export class Performer {
  readonly model: Model;
  /** The solved latents of the last unit, flat f32. */
  readonly latents: Tensor;
  readonly #tokenTable: Tensor;
  readonly #unit: Tensor;
  readonly #solve: Plan;
  readonly #slice: { tokenTable: Tensor; data: Tensor; append: Plan } | null;
  readonly #readback: Readback<readonly [Tensor]>;

  private constructor(model: Model, receivesSlices: boolean) {
    this.model = model;
    const { gpu, layout, history, latents } = model;
    const noisyRows = model.window.sizes.noisySets * layout.response;
    this.latents = makeTensor(gpu, "z", [latents.length], "f32", "uniform");
    this.#tokenTable = sharedTensor(gpu, "noisy tokens", [noisyRows, tokenWords], "i32");
    this.#unit = sharedTensor(gpu, "solver unit", [1], "u32");
    this.#solve = new Plan(this.#solveSteps(noisyRows));
    this.#slice = null;
    if (receivesSlices) {
      const sliceRows = layout.tokens;
      const tokenTable = sharedTensor(gpu, "slice tokens", [sliceRows, tokenWords], "i32");
      const data = history.sharedSlice("slice", sliceRows);
      const append = new Plan(history.scatter("append", tokenTable, data));
      this.#slice = { tokenTable, data, append };
    }
    this.#readback = new Readback(gpu, [this.latents]);
  }

  /** Builds a performer; with `receivesSlices` it keeps a history of its own. */
  static async create(model: Model, receivesSlices: boolean): Promise<Performer> {
    const performer = new Performer(model, receivesSlices);
    await performer.#readback.prepare();
    return performer;
  }

  #solveSteps(noisyRows: number): Step[] {
    const { model, latents: z } = this;
    const { gpu, settings, layout, embedding, backbone, history } = model;
    const sets = model.window.sizes.noisySets;
    const length = model.latents.length;
    const D = model.checkpoint.config.hidden_size;
    const make = (label: string, ...shape: number[]) =>
      sharedTensor(gpu, label, shape, "f32", "uniform");
    const trial = make("z trial", length);
    const program = solverProgram(settings.solver);
    const velocities = Array.from(
      { length: velocitySlots(program) },
      (_, slot) => make(`velocity ${slot}`, length),
    );
    const guided = sets === 2 ? make("velocities of both sets", 2 * length) : null;
    const x = make("noisy x", noisyRows, D);
    const normed = make("noisy normed", noisyRows, D);

    const steps: Step[] = [
      noise(gpu, { label: "z", y: z, unit: this.#unit, seed: settings.seed }),
    ];
    // Steps of the solver that the head's product takes along.
    const fused = (index: number) => guided ? undefined : soleUse(program, index);
    program.forEach((op, index) => {
      const label = `solve ${index}`;
      if (op.op === "combine") {
        if (fused(index - 1) !== undefined) return;
        const terms = op.terms.map(({ slot, coefficient }) => ({
          v: velocities[slot] as Tensor,
          coefficient,
        }));
        const y = op.target === "z" ? z : trial;
        steps.push(integrate(gpu, { label, z, terms, y }));
        return;
      }
      const point = latentParts(op.point === "z" ? z : trial, model.latents);
      const velocity = velocities[op.slot] as Tensor;
      for (let set = 0; set < sets; set++) {
        const target = rows(x, set * layout.response, layout.response);
        steps.push(...embedding.latents(label, point, op.tau, target));
      }
      steps.push(
        ...backbone.span(history, {
          label,
          x,
          tokenTable: this.#tokenTable,
          wanted: { first: 0, count: noisyRows },
        }),
        backbone.finalNorm(label, x, normed),
      );
      for (let set = 0; set < sets; set++) {
        const coefficient = fused(index);
        const y = guided
          ? rows(guided, set * length, length)
          : coefficient === undefined
          ? velocity
          : z;
        const from = rows(normed, set * layout.response, layout.response);
        steps.push(...embedding.velocity(`${label} set ${set}`, from, y, coefficient));
      }
      if (guided) {
        // v = v_uncond + g (v_cond - v_uncond) = g v_cond + (1 - g) v_uncond
        const g = settings.solver.guidance;
        const [cond, uncond] = [rows(guided, 0, length), rows(guided, length, length)];
        steps.push(integrate(gpu, {
          label: `${label} guidance`,
          terms: [{ v: cond, coefficient: g }, { v: uncond, coefficient: 1 - g }],
          y: velocity,
        }));
      }
    });
    return steps;
  }

  /** Appends the slice of unit k: the K and V of [y_{k-1}, u_k, agent text of k]. */
  append(unit: number, typed: number, slice: ArrayBuffer): void {
    if (!this.#slice) throw new Error("this performer shares the thinker's history");
    const { gpu, window, history, tokenTables } = this.model;
    window.advance(unit, typed);
    history.writeWindow();
    upload(gpu, this.#slice.tokenTable, tokenTables.pass(unit));
    gpu.device.queue.writeBuffer(this.#slice.data.buffer, 0, slice);
    submit(gpu, this.#slice.append);
  }

  /** Solves y_k into `latents`. Only submits. */
  solve(unit: number): void {
    const { gpu, tokenTables } = this.model;
    upload(gpu, this.#tokenTable, tokenTables.noisy(unit));
    upload(gpu, this.#unit, new Uint32Array([unit]));
    submit(gpu, this.#solve);
  }

  /** Waits for the solver and reads the latents back. */
  async read(): Promise<Float32Array<ArrayBuffer>> {
    const [bytes] = await this.#readback.run();
    return new Float32Array(bytes);
  }

  /** The plan of a solve, for benchmarks. */
  get plan(): Plan {
    return this.#solve;
  }
}
