/** Pictures and samples as they are: RGB24 frames and little-endian f32 samples of the model's shape. */
import { ByteQueue } from "../system/byte_queue.ts";
import type { ByteSource } from "./endpoints.ts";
import type { MediaSource } from "../media/observation_reader.ts";
import { frameBytes, type StreamShape } from "../media/stream_shape.ts";

/** Reads one or both. */
export function rawMedia(
  video: ByteSource | null,
  audio: ByteSource | null,
  shape: StreamShape,
): MediaSource {
  const pictures = video && new ByteQueue(video.chunks);
  const samples = audio && new ByteQueue(audio.chunks);
  return {
    video: pictures,
    audio: samples,
    pauseMs: 2000,
    finish() {
      const rest = (pictures?.received ?? 0) % frameBytes(shape);
      const of = frameBytes(shape);
      if (rest > 0) return Promise.resolve(`its last picture has ${rest} of ${of} bytes`);
      const odd = (samples?.received ?? 0) % 4;
      return Promise.resolve(odd > 0 ? `its last sample has ${odd} of 4 bytes` : null);
    },
    async close() {
      await video?.close();
      await audio?.close();
    },
  };
}
