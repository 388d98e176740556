/** What one unit of media looks like, on the user's or the agent's side. */
import type { ModelConfig } from "../../engine/config/config.ts";
import { type StreamLayout, type StreamShape, unitLayout } from "../../engine/checkpoint/unit.ts";

export type { StreamShape };

/** The shape of observations and of responses. */
export function streamShapes(config: ModelConfig): Pick<StreamLayout, "user" | "agent"> {
  const { user, agent } = unitLayout(config);
  return { user, agent };
}

/** Bytes of one RGB24 frame. */
export function frameBytes(shape: StreamShape): number {
  return shape.width * shape.height * 3;
}
