/** The performer: solves the latents of responses. */
import { AttentionShares } from "../model/attention_shares.ts";
import { latentParts } from "../model/embedding.ts";
import type { Model } from "../model/model.ts";
import { soleUse, solverProgram, velocitySlots } from "../config/solver.ts";
import { tokenWords } from "../model/tick_tokens.ts";
import type { SolverInspection } from "./messages.ts";
import { pathOf } from "./inspection.ts";
import { integrate } from "../../kernels/flow/integrate.ts";
import { noise } from "../../kernels/flow/noise.ts";
import { copy, Plan, type Step, submit } from "../../kernels/gpu/plan.ts";
import { Readback } from "../../kernels/gpu/readback.ts";
import { makeTensor, rows, sharedTensor, type Tensor, upload } from "../../kernels/gpu/tensor.ts";

/** What a solve gives. */
export interface Reading {
  latents: Float32Array<ArrayBuffer>;
  inspection?: SolverInspection;
}

/** What is read back beside the latents where a session is inspected. */
interface Observed {
  looking: AttentionShares;
  /** Velocities of each evaluation, [evaluations, 1 or 2, latents]: what the solver uses, and with
   * guidance the conditional set's. */
  path: Tensor;
}

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
  readonly #readback: Readback<readonly [Tensor, ...Tensor[]]>;
  readonly #observed: Observed | null;

  private constructor(model: Model, receivesSlices: boolean, inspect: boolean) {
    this.model = model;
    const { gpu, layout, history, latents } = model;
    const noisyRows = model.window.sizes.noisySets * layout.response;
    this.latents = makeTensor(gpu, "z", [latents.length], "f32", "uniform");
    this.#tokenTable = sharedTensor(gpu, "noisy tokens", [noisyRows, tokenWords], "i32");
    this.#unit = sharedTensor(gpu, "solver unit", [1], "u32");
    this.#observed = inspect ? this.#observe() : null;
    this.#solve = new Plan(this.#solveSteps(noisyRows));
    this.#slice = null;
    if (receivesSlices) {
      const sliceRows = layout.tokens;
      const tokenTable = sharedTensor(gpu, "slice tokens", [sliceRows, tokenWords], "i32");
      const data = history.sharedSlice("slice", sliceRows);
      const append = new Plan(history.scatter("append", tokenTable, data));
      this.#slice = { tokenTable, data, append };
    }
    const { looking, path } = this.#observed ?? {};
    const more = looking && path ? [looking.shares, path] : [];
    this.#readback = new Readback(gpu, [this.latents, ...more]);
  }

  /** Builds a performer; with `receivesSlices` it keeps a history of its own, with `inspect` it tells
   * what its work looked like. */
  static async create(
    model: Model,
    receivesSlices: boolean,
    inspect = false,
  ): Promise<Performer> {
    const performer = new Performer(model, receivesSlices, inspect);
    await performer.#readback.prepare();
    return performer;
  }

  #observe(): Observed {
    const { gpu, settings, checkpoint: { config }, window, latents } = this.model;
    const evaluations = solverProgram(settings.solver).filter(({ op }) => op === "evaluate").length;
    const shape = [evaluations * window.sizes.noisySets, latents.length];
    return {
      looking: new AttentionShares(gpu, config, window),
      path: makeTensor(gpu, "solver's path", shape),
    };
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
    // From latents to velocities in one, where the layers take along what stands at their ends.
    const whole = backbone.takesEnds(history, noisyRows, sets);
    // A step of the solver that one evaluation alone makes is taken along: by guidance, else by the head's
    // product.
    const taken = (index: number) => guided || !whole ? soleUse(program, index) : undefined;
    const { looking, path } = this.#observed ?? {};
    const last = program.findLastIndex(({ op }) => op === "evaluate");
    let evaluation = 0;
    program.forEach((op, index) => {
      const label = `solve ${index}`;
      if (op.op === "combine") {
        if (taken(index - 1) !== undefined) return;
        const terms = op.terms.map(({ slot, coefficient }) => ({
          v: velocities[slot] as Tensor,
          coefficient,
        }));
        const y = op.target === "z" ? z : trial;
        steps.push(integrate(gpu, { label, z, terms, y }));
        return;
      }
      const point = op.point === "z" ? z : trial;
      const velocity = velocities[op.slot] as Tensor;
      const coefficient = taken(index);
      const span = {
        label,
        x,
        tokenTable: this.#tokenTable,
        wanted: { first: 0, count: noisyRows },
        sets,
        looking: looking && index === last
          ? { first: 0, count: layout.response, to: looking }
          : undefined,
      };
      if (whole) {
        const ends = {
          z: point,
          velocities: guided ?? velocity,
          soundRows: layout.agentAudio,
          ...embedding.latentBiases(op.tau),
        };
        steps.push(...backbone.span(history, { ...span, ends }));
      } else {
        for (let set = 0; set < sets; set++) {
          const target = rows(x, set * layout.response, layout.response);
          const parts = latentParts(point, model.latents);
          steps.push(...embedding.latents(label, parts, op.tau, target));
        }
        steps.push(
          ...backbone.span(history, span),
          backbone.finalNorm(label, x, normed),
        );
        for (let set = 0; set < sets; set++) {
          const from = rows(normed, set * layout.response, layout.response);
          const y = guided
            ? rows(guided, set * length, length)
            : coefficient === undefined
            ? velocity
            : z;
          const step = guided ? undefined : coefficient;
          // The product that takes a step leaves no velocity to look at.
          if (path && step !== undefined) {
            steps.push(...embedding.velocity(`${label} path`, from, velocity));
          }
          steps.push(...embedding.velocity(`${label} set ${set}`, from, y, step));
        }
      }
      if (guided) {
        // v = v_uncond + g (v_cond - v_uncond) = g v_cond + (1 - g) v_uncond
        const g = settings.solver.guidance;
        const combine = (what: string, step: number, to: { z?: Tensor; y: Tensor }) =>
          integrate(gpu, {
            label: `${label} ${what}`,
            terms: [
              { v: rows(guided, 0, length), coefficient: step * g },
              { v: rows(guided, length, length), coefficient: step * (1 - g) },
            ],
            ...to,
          });
        if (coefficient === undefined) steps.push(combine("guidance", 1, { y: velocity }));
        else {
          steps.push(combine("guidance", coefficient, { z, y: z }));
          // What takes a step leaves no velocity to look at.
          if (path) steps.push(combine("path", 1, { y: velocity }));
        }
      }
      if (path) {
        const seen = guided ? [velocity, rows(guided, 0, length)] : [velocity];
        for (const [set, v] of seen.entries()) {
          steps.push(copy(`${label} path`, v, rows(path, evaluation * sets + set, 1)));
        }
        evaluation++;
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
    this.#observed?.looking.write(unit);
    upload(gpu, this.#tokenTable, tokenTables.noisy(unit));
    upload(gpu, this.#unit, new Uint32Array([unit]));
    submit(gpu, this.#solve);
  }

  /** Waits for the solver and reads the latents back, and where it is inspected how they came about. */
  async read(): Promise<Reading> {
    const [latents, shares, path] = await this.#readback.run();
    const read = { latents: new Float32Array(latents) };
    if (!shares || !path) return read;
    const inspection = {
      shares: new Float32Array(shares),
      path: pathOf(this.model, new Float32Array(path)),
    };
    return { ...read, inspection };
  }

  /** The plan of a solve, for benchmarks. */
  get plan(): Plan {
    return this.#solve;
  }
}
