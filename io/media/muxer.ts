/**
 * Responses as a container's bytes, unit by unit: everything of a unit is there when `unit` returns.
 *
 * FFmpeg's muxers can't do that: they hold a stream's last packet until the other stream has a later
 * one, so that the end of each unit would leave with the next. Pictures and sound are stored as they
 * are (RGB24, 32-bit float): encoding for a narrow way is the next program's work.
 */
import { MatroskaMuxer } from "./matroska_muxer.ts";
import type { Muxer } from "./media_pieces.ts";
import { NutMuxer } from "./nut_muxer.ts";
import type { StreamShape } from "./stream_shape.ts";

/** Containers that can be piped. */
export const streamFormats = ["nut", "matroska"] as const;
export type StreamFormat = typeof streamFormats[number];

/** The muxer of a format. */
export function openMuxer(format: StreamFormat, shape: StreamShape): Muxer {
  return format === "nut" ? new NutMuxer(shape) : new MatroskaMuxer(shape);
}
