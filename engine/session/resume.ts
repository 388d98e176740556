/** Which settings a resumed session has, and whether a snapshot fits the checkpoint and the options.
 * Snapshots come from disk: nothing in them is trusted. */
import { createHash } from "node:crypto";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { Fields } from "../config/config_fields.ts";
import { latentShape } from "../model/embedding.ts";
import { tokenBytes } from "../model/history.ts";
import { InputError } from "../config/errors.ts";
import { valueText } from "../config/error_text.ts";
import { readSolver } from "../config/solver.ts";
import {
  maxVoiceUnits,
  resolveSettings,
  type SessionOptions,
  type Settings,
} from "../model/settings.ts";
import {
  blobOf,
  prefillBlob,
  type Snapshot,
  snapshotFormat,
  type SnapshotMeta,
  unitBlob,
  wholeSnapshot,
} from "../roles/snapshot.ts";
import type { Tokenizer } from "../checkpoint/tokenizer.ts";
import { type UnitLayout, unitLayout } from "../checkpoint/unit.ts";
import { keptUnits } from "../model/window.ts";

const openAnew = "leave the option out, or open a new session";

/**
 * The settings of a session that resumes: the snapshot's, but for what `options` says. Seed, solver,
 * sampling and schedule may differ (a fork); precision, history units, prompt, persona and voice are
 * part of history and may only be repeated.
 *
 * @param snapshot A checked one.
 * @throws InputError that names the option, its value and the snapshot's.
 */
export function resumeSettings(
  checkpoint: Checkpoint,
  options: SessionOptions,
  snapshot: Snapshot,
  tokenizer: Tokenizer,
): Settings {
  const saved = snapshot.meta.settings;
  const asked = resolveSettings(checkpoint, {
    ...options,
    seed: options.seed ?? saved.seed,
    solver: { ...saved.solver, ...options.solver },
    sampling: { ...saved.sampling, ...options.sampling },
    schedule: options.schedule ?? saved.schedule,
    historyUnits: options.historyUnits ?? saved.historyUnits,
    precision: !options.precision || options.precision === "auto"
      ? saved.weights
      : options.precision,
  }, tokenizer);

  const same = (name: string, is: string, was: string) => {
    if (is === was) return;
    throw new InputError(`${name}: ${is}, but the session was saved with ${was}: ${openAnew}`);
  };
  same("precision", asked.weights, saved.weights);
  same("history units", `${asked.historyUnits}`, `${saved.historyUnits}`);
  if (options.prompt !== undefined) {
    const text = (ids: readonly number[]) => valueText(tokenizer.decode(ids));
    if (asked.promptIds.join() !== saved.promptIds.join()) {
      same("prompt", text(asked.promptIds), text(saved.promptIds));
    }
  }
  const persona = snapshot.blobs.get("persona") ?? null;
  const voice = savedVoice(snapshot);
  if (options.persona) same("persona", digest(asked.personaFrame), digest(persona));
  if (options.voice) same("voice", digest(asked.voice), digest(voice));
  return { ...asked, promptIds: saved.promptIds, personaFrame: persona, voice };
}

function savedVoice(snapshot: Snapshot): Float32Array | null {
  const bytes = snapshot.blobs.get("voice");
  return bytes ? new Float32Array(bytes.slice().buffer) : null;
}

/** Short digest of an image or a voice, or 'none'. */
function digest(data: Uint8Array | Float32Array | null): string {
  if (!data) return "none";
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 12);
}

/**
 * Checks that a snapshot is whole and fits the checkpoint.
 *
 * @throws InputError that names what doesn't fit, and the remedy.
 */
export function checkSnapshot(given: Snapshot, checkpoint: Checkpoint): Snapshot {
  const where = "snapshot";
  const { config } = checkpoint;
  const layout = unitLayout(config);
  const top = new Fields(new Fields(given, where).get("meta"), where, "meta.");
  if (top.get("format") !== snapshotFormat) {
    throw top.error("format", `${snapshotFormat}: resume it with the version that saved it`);
  }
  const digest = top.get("checkpoint");
  if (digest !== checkpoint.digest) {
    throw new InputError(
      `${where}: its checkpoint has the digest ${short(digest)}, the one given has ${
        short(checkpoint.digest)
      }: give the checkpoint that it was saved with`,
    );
  }
  const meta = readMeta(top, checkpoint, layout);
  const { blobs } = wholeSnapshot(given);
  const checked = { meta, blobs };
  const sizes = expectedBytes(checked, checkpoint, layout);
  for (const [name, bytes] of sizes) {
    const has = blobOf(checked, name).length;
    if (has !== bytes) {
      throw new InputError(
        `${where}: ${valueText(name)} has ${has} bytes, but ${bytes} are expected: save it again`,
      );
    }
  }
  for (const name of ["latents", "voice"]) {
    const wrong = new Float32Array(blobOf(checked, name).buffer).find((x) => !Number.isFinite(x));
    if (wrong !== undefined) {
      throw new InputError(
        `${where}: ${valueText(name)} holds ${wrong}; it may hold finite numbers`,
      );
    }
  }
  return checked;
}

function short(digest: unknown): string {
  return typeof digest === "string" ? valueText(digest.slice(0, 12)) : valueText(digest);
}

function readMeta(top: Fields, { config }: Checkpoint, layout: UnitLayout): SnapshotMeta {
  const settings = top.object("settings");
  const sampling = settings.object("sampling");
  const historyUnits = settings.whole("historyUnits", [config.sink_units + 2, 2_000_000]);
  // Ranks count four bytes and rise by slots + 2 a unit.
  const unit = top.whole("unit", [-1, Math.floor(2 ** 30 / (layout.agentText + 2))]);
  const kept = Math.min(historyUnits, unit + 1);
  const numbers = (fields: Fields, key: string, length: [number, number], most: number) =>
    fields.list(key, length).map((value) => {
      if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most) {
        return value as number;
      }
      throw fields.error(key, `a list of whole numbers from 0 to ${most}`);
    });
  const unbounded: [number, number] = [-Infinity, Infinity];
  return {
    format: snapshotFormat,
    checkpoint: String(top.get("checkpoint")),
    unit,
    settings: {
      // resolveSettings checks the ranges of what it gets, an option or this.
      seed: settings.number("seed", unbounded),
      solver: readSolver(settings.object("solver")),
      sampling: {
        temperature: sampling.number("temperature", unbounded),
        topK: sampling.number("topK", unbounded),
        topP: sampling.number("topP", unbounded),
      },
      schedule: settings.oneOf("schedule", ["paper", "eager"]),
      ...storages(settings),
      historyUnits,
      promptIds: numbers(settings, "promptIds", [0, 2 ** 20], config.vocab_size - 1),
    },
    typed: numbers(top, "typed", [kept, kept], layout.userText),
    waiting: numbers(top, "waiting", [0, 2 ** 20], config.vocab_size - 1),
    unfinished: numbers(top, "unfinished", [0, 3], 255),
  };
}

/** Snapshots from before there were two name one. */
function storages(settings: Fields): Pick<SnapshotMeta["settings"], "storage" | "weights"> {
  const storage = settings.oneOf("storage", ["f32", "f16"]);
  if (settings.get("weights") === undefined) return { storage, weights: storage };
  return { storage, weights: settings.oneOf("weights", ["f32", "f16", "int8", "int4"]) };
}

/** Bytes of every blob but the coders' states, which the coders check. */
function expectedBytes(
  { meta, blobs }: Snapshot,
  checkpoint: Checkpoint,
  layout: UnitLayout,
): Map<string, number> {
  const { config } = checkpoint;
  const { storage, historyUnits, promptIds } = meta.settings;
  const { width, height } = config.response.video;
  const sizes = new Map([["latents", latentShape(checkpoint, layout).length * 4]]);
  const voiceBytes = layout.agentSamples * 4;
  const voiceUnits = Math.ceil((blobs.get("voice")?.length ?? 0) / voiceBytes);
  if (blobs.has("persona")) sizes.set("persona", width * height * 3);
  if (blobs.has("voice")) {
    sizes.set("voice", Math.max(1, Math.min(maxVoiceUnits, voiceUnits)) * voiceBytes);
  }
  const perToken = tokenBytes(config, storage);
  const personaTokens = voiceUnits * layout.agentAudio +
    (blobs.has("persona") ? layout.agentVideo : 0);
  sizes.set(prefillBlob, (promptIds.length + personaTokens) * perToken);
  for (const unit of keptUnits(meta.unit, historyUnits, config.sink_units)) {
    sizes.set(unitBlob(unit), layout.tokens * perToken);
  }
  return sizes;
}
