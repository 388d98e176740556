/** What tests of `batch` share. */
import { WavWriter } from "../../../io/media/wav.ts";
import { random } from "../../reference/random.ts";
import { run } from "../../../io/commands/batch.ts";
import { echoOpener, floors } from "./echo_batch.ts";

/** Writes a recording of noise: units of 160 ms at 16 kHz. */
export async function recording(path: string, units: number, seed: number): Promise<void> {
  const next = random(seed);
  const wav = await WavWriter.create(path, 16000);
  await wav.write(Float32Array.from({ length: units * 2560 }, () => next() - 0.5));
  await wav.close();
}

/** Writes a folder of recordings, a.wav, b.wav, ..., of one to three units, and gives its path. */
export async function recordings(folder: string, count: number): Promise<string> {
  const path = `${folder}/recordings`;
  await Deno.mkdir(path);
  for (let i = 0; i < count; i++) {
    await recording(`${path}/${String.fromCharCode(97 + i)}.wav`, 1 + i % 3, i + 1);
  }
  return path;
}

/** Writes a manifest and gives its path. */
export async function manifest(folder: string, lines: readonly unknown[]): Promise<string> {
  const path = `${folder}/manifest.jsonl`;
  const text = lines.map((line) => typeof line === "string" ? line : JSON.stringify(line));
  await Deno.writeTextFile(path, `${text.join("\n")}\n`);
  return path;
}

const { write } = Deno.stdout;

/** Runs `batch` here, with echoes as sessions. */
export async function batch(...args: string[]) {
  const echo = echoOpener();
  let stdout = "";
  Deno.stdout.write = (bytes) => {
    stdout += new TextDecoder().decode(bytes);
    return Promise.resolve(bytes.length);
  };
  try {
    const code = await run([...args, "--quiet"], { floors }, echo.opener);
    return { code, stdout, ...echo };
  } finally {
    Deno.stdout.write = write;
  }
}

/** Runs it as a process. @param kill See echo_batch.ts. */
export async function batchProcess(
  args: readonly string[],
  { kill = 0, env = {} }: { kill?: number; env?: Record<string, string> } = {},
) {
  const program = new URL("./echo_batch.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-check", "-A", program, `${kill}`, ...args],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
