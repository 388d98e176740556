/** `bench-gpu` starts this for a step: it reads its task and prints a message a line. */
import type { Message } from "./steps.ts";
import { type Task, workOf } from "./work.ts";

const task: Task = JSON.parse(await new Response(Deno.stdin.readable).text());
const encoder = new TextEncoder();
const known = new Set(task.known);
for await (const message of workOf(task, known)) {
  const bytes = encoder.encode(`${JSON.stringify(message satisfies Message)}\n`);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
Deno.exit(0);
