/** A run that was never made, for pages: every kind of thing happens in it. */
import { attentionAxes, type Inspection } from "../../../engine/checkpoint/unit.ts";
import { headerEvent, type UnitEvent, unitEvent } from "../../../io/pace/events.ts";
import type { UnitTimes } from "../../../io/pace/pump.ts";
import { provenanceOf, startRun } from "../../../io/provenance/provenance.ts";
import { RunRecorder } from "../../../io/inspect/run_recorder.ts";
import type { StreamShape } from "../../../io/media/stream_shape.ts";
import { userShape } from "../media.ts";

export const user: StreamShape = { ...userShape, height: 64 };
export const agent: StreamShape = { ...user, width: 128, height: 128 };

/** A text of a user that would end a script, and begin another. */
export const hostile =
  `</script><script>document.title="taken"</script><img src=x onerror=alert(1)>`;

/** Numbers from 0 to 1 that are the same in every run. */
function random(seed: number): () => number {
  let state = seed + 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

const layers = 4;

function inspection(word: string, next: () => number): Inspection {
  const { queries, groups, ages } = attentionAxes;
  const perLayer = groups.length * ages.length;
  const shares = new Float32Array(queries.length * layers * perLayer).map(next);
  for (let at = 0; at < shares.length; at += perLayer) {
    const row = shares.subarray(at, at + perLayer);
    const sum = row.reduce((all, share) => all + share, 0);
    row.forEach((share, i) => row[i] = share / sum);
  }
  const speak = word === "" ? 0.1 * next() : 0.9 + 0.1 * next();
  const speed = (guidance: number | null) => ({ velocity: 1 + next(), guidance });
  return {
    attention: { layers, shares },
    path: [1, 0.7, 0.4, 0.1].map((tau, step) => ({
      ...{ step, tau },
      ...{ audio: speed(0.2), video: speed(null) },
    })),
    top: [
      { token: 256, text: "", probability: 1 - speak },
      { token: 7, text: word || " red", probability: speak * 0.9 },
      ...[8, 9, 10].map((token) => ({ token, text: ` w${token}`, probability: speak * 0.03 })),
    ].sort((a, b) => b.probability - a.probability),
    filler: 1 - speak,
    entropy: next(),
  };
}

/** What a made-up run is to be like. */
export interface MadeUp {
  units: number;
  name?: string;
  most?: number;
  /** Where what was given, and the answers from there on, become others. */
  partsAt?: number;
  /** A cascade's responses: no inspection, but decisions. */
  cascade?: boolean;
}

/** Records a made-up run. */
export async function madeUp(
  { units, name = "made up", most = 10_000, partsAt = Infinity, cascade = false }: MadeUp,
): Promise<RunRecorder> {
  const recorder = new RunRecorder({ name, user, agent, most });
  const provenance = await provenanceOf(startRun("replay", name));
  recorder.event(headerEvent({ user, agent }, provenance, null, {}));
  const next = random(1);
  const strip = new Uint8Array(250_000).map((_, i) => (i * 7 + 40 * (i % 3)) >> 3);
  for (let unit = 0; unit < units; unit++) {
    const isUsers = unit % 20 < 8;
    const isAgents = unit % 20 >= 10 && unit % 20 < 17;
    const tone = (loud: boolean, rate: number) =>
      new Float32Array(2560).map((_, i) => loud ? 0.4 * Math.sin(i * rate) * next() : 0);
    // A pattern that moves: pieces of one strip.
    const pictures = ({ frames, width, height }: StreamShape) =>
      strip.slice(unit * 12, unit * 12 + frames * width * height * 3);
    const parted = unit >= partsAt;
    recorder.observe(unit, {
      audio: unit === 5 ? null : tone(isUsers, parted ? 0.11 : 0.1),
      frames: unit === 5 ? null : pictures(user),
      ...(unit === 3 ? { text: hostile } : {}),
    });
    const word = isAgents && unit % 2 === 0 ? ` ${parted ? "blue" : "red"}${unit}` : "";
    const stages: UnitTimes = {
      ...{ encode: 5, pass: 20, sendSlice: 0, solve: unit === 12 ? 180 : 70, sendLatents: 0 },
      ...{ decode: 15, queue: 0, wait: 1, total: 115, write: 3, inspect: 2 },
    };
    const response = {
      ...{ unit, text: word, tokens: [word === "" ? 256 : 7 + Number(parted)] },
      audio: tone(isAgents, parted ? 0.21 : 0.2),
      frames: pictures(agent),
      digest: `${Number(parted)}${unit}`.padEnd(64, "a"),
      ...{ historyTokens: unit * 90, stages },
      ...(cascade
        ? {
          modules: { activity: 1, read: 30, speak: 60 },
          trace: word === "" ? [] : [{ module: "read", what: "heard", words: [hostile] }],
        }
        : { inspection: inspection(word, next) }),
    };
    recorder.answer(response);
    if (unit === 9) {
      const reason = "the device was lost";
      recorder.event({ type: "recovery", unit, reason, snapshot: 4, ms: 812 });
    }
    const event: UnitEvent = unitEvent(response, stages, {
      ...{ observation: unit === 5 ? "lost" : "given", heard: unit !== 14, interactionMs: 130 },
    }, 160);
    recorder.event(event);
  }
  return recorder;
}
