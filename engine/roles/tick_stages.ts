/** Stages of a tick in their order. */
export const tickStages = ["encode", "pass", "solve", "decode"] as const;
export type TickStage = typeof tickStages[number];
