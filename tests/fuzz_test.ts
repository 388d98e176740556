/** Damaged recordings and checkpoints, some hundred of them; `deno task fuzz` tries more. */
import { assert, assertEquals } from "@std/assert";
import { findFfmpeg } from "../io/ffmpeg/ffmpeg.ts";
import { type Corpus, fuzz, makeCase, makeCorpus, writeCase } from "../scripts/fuzz.ts";
import { folderTest, names } from "./io/media.ts";

const root = new URL("..", import.meta.url).pathname;

Deno.test("300 damaged files are read or refused: no crash, no hang, nothing left", async () => {
  const result = await fuzz({ seed: 1, count: 300, keep: `${root}out/fuzz`, limitMs: 120_000 });
  assertEquals(result.failures, []);
  assertEquals(result.cases + result.skipped, 300);
  // Mutations that never or always break a file would test nothing.
  assert(result.read > 30 && result.refused > 60, JSON.stringify(result));
});

folderTest("a case of the fuzzer is told by its seed and number alone", async (folder) => {
  const corpus: Corpus = await makeCorpus(null);
  for (let number = 0; number < 32; number++) {
    assertEquals(makeCase(7, number, corpus), makeCase(7, number, corpus));
  }
  const { kind, bytes } = makeCase(7, 1, corpus);
  assert(bytes);
  await writeCase(folder, kind, bytes, corpus);
  assertEquals(names(folder), ["case.wav"]);
});

folderTest("main.ts answers damaged files with one line and an exit code", async (folder) => {
  const corpus = await makeCorpus(await findFfmpeg().catch(() => null));
  // A config, weights, an index, an MP4 and a Matroska file.
  const cases = [3, 7, 15, 20, 24].map((number) => makeCase(3, number, corpus));
  for (const [i, { kind, bytes }] of cases.entries()) {
    if (bytes === null) continue;
    const at = `${folder}/${i}`;
    await Deno.mkdir(at);
    const path = await writeCase(at, kind, bytes, corpus);
    const before = names(at);
    const args = path === at
      ? ["inspect", path]
      : ["replay", path, "-o", `${at}/out.wav`, "--units", "1", "--quiet"];
    const permissions = ["--allow-read", "--allow-write", "--allow-env", "--allow-run"];
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-q", "--no-prompt", "--no-check", "--allow-net=127.0.0.1", ...permissions],
        ...[`${root}main.ts`, ...args],
      ],
      cwd: at,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(120_000),
    });
    const { code, signal, stderr } = await child.output();
    const said = new TextDecoder().decode(stderr);
    const what = `${kind} ${i}: ${code} ${signal} ${said}`;
    assertEquals(signal, null, what);
    assert([0, 1, 2, 3].includes(code), what);
    assert(!/\n\s+at .*:\d+:\d+|panicked/.test(said), what);
    if (code === 1 || code === 2) {
      assertEquals(said.match(/^wanstream: /gm)?.length, 1, what);
      assertEquals(names(at), before, what);
    }
  }
});
