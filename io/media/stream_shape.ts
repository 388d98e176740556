/** What one unit of media looks like, on the user's or the agent's side. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { unitLayout } from "../../engine/checkpoint/unit.ts";

/** Sizes of one side of the stream. */
export interface StreamShape {
  /** Length of a unit in ms. */
  unitMs: number;
  /** Video frames per second, and per unit. */
  fps: number;
  frames: number;
  /** Pixels of a frame. */
  width: number;
  height: number;
  /** Mono samples per second, and per unit. */
  sampleRate: number;
  samples: number;
}

/** The shape of observations and of responses. */
export function streamShapes(config: ModelConfig): { user: StreamShape; agent: StreamShape } {
  const { frames, userSamples, agentSamples } = unitLayout(config);
  const { observation, response, fps, unit_ms: unitMs } = config;
  return {
    user: {
      unitMs,
      fps,
      frames,
      width: observation.video.width,
      height: observation.video.height,
      sampleRate: observation.audio.sample_rate,
      samples: userSamples,
    },
    agent: {
      unitMs,
      fps,
      frames,
      width: response.video.width,
      height: response.video.height,
      sampleRate: response.audio.sample_rate,
      samples: agentSamples,
    },
  };
}

/** Bytes of one RGB24 frame. */
export function frameBytes(shape: StreamShape): number {
  return shape.width * shape.height * 3;
}
