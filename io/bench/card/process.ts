/** The process of a step: started with its task on standard input, it prints a message a line. */
import { fileURLToPath } from "node:url";
import type { Message, StepProcess } from "./steps.ts";
import type { Task } from "./work.ts";

const child = fileURLToPath(new URL("./child.ts", import.meta.url));

/** Starts the process of a step. @param root The folder whose deno.json has the permissions. */
export function startStep(task: Task, root: string): StepProcess {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "--no-prompt", "-P=measure", child],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(process.stderr).text();
  const writer = process.stdin.getWriter();
  writer.write(new TextEncoder().encode(JSON.stringify(task))).then(() => writer.close())
    .catch(() => {});
  return {
    messages: messagesOf(process.stdout),
    ended: process.status.then(async ({ success, code, signal }) => {
      if (success) return null;
      const error = (await said).split("\n").findLast((line) => /error|panic/i.test(line));
      return error?.trim() ?? `its process ended with ${signal ?? `exit code ${code}`}`;
    }),
    kill() {
      try {
        process.kill("SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    },
  };
}

/** The whole lines of a stream; what a killed process left of a line is no message. */
async function* messagesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Message> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
}
