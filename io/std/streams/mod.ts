/**
 * A stand-in for `@std/streams` where JSR cannot be reached: what io needs of it, with the real
 * package's names, signatures and meaning. Without the `links` entry in deno.json the real package
 * takes its place.
 *
 * @module
 */

/** Reads a stream to its end as UTF-8 text. */
export async function toText(stream: ReadableStream): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream as ReadableStream<string | Uint8Array<ArrayBuffer>>) {
    text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Reads a stream of bytes to its end. */
export async function toArrayBuffer(stream: ReadableStream<Uint8Array>): Promise<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes.buffer;
}

/** One stream with the chunks of all, in the order of their arrival; it ends when the last one has. */
export function mergeReadableStreams<T>(...streams: ReadableStream<T>[]): ReadableStream<T> {
  const readers = streams.map((stream) => stream.getReader());
  return new ReadableStream<T>({
    async start(controller) {
      try {
        await Promise.all(readers.map(async (reader) => {
          for (let read = await reader.read(); !read.done; read = await reader.read()) {
            controller.enqueue(read.value);
          }
        }));
        controller.close();
      } catch (error) {
        controller.error(error);
      }
    },
    async cancel(reason) {
      await Promise.all(readers.map((reader) => reader.cancel(reason)));
    },
  });
}

/** Options of {@linkcode TextLineStream}. */
export interface TextLineStreamOptions {
  /** Splits at a lone `\r` too. */
  allowCR?: boolean;
}

/** Cuts text into lines at `\n` or `\r\n`; the last line needs no end, an empty last one is left out. */
export class TextLineStream extends TransformStream<string, string> {
  constructor({ allowCR = false }: TextLineStreamOptions = {}) {
    // A `\r` at the end of a chunk may be half of `\r\n`: it waits for the next one.
    const ends = allowCR ? /\r\n|\n|\r(?!$)/ : /\r?\n/;
    let open = "";
    super({
      transform(chunk, controller) {
        const lines = (open + chunk).split(ends);
        open = lines.pop() ?? "";
        for (const line of lines) controller.enqueue(line);
      },
      flush(controller) {
        const last = allowCR ? open.replace(/\r$/, "") : open;
        if (open !== "") controller.enqueue(last);
      },
    });
  }
}
