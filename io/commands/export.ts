/** `export`: a part of a composed checkpoint, as it was published. */
import { type PartName, partNames } from "../../engine/config/config.ts";
import { InputError } from "../../engine/config/errors.ts";
import { exportPart } from "../../engine/models/export.ts";
import { runCommand } from "../cli/commands.ts";
import type { CommandSpec, Option } from "../cli/options.ts";
import { writeAll } from "../system/bytes.ts";
import { interruptedCode } from "../system/interrupt.ts";
import { checkFree, inNewFolder } from "../system/new_folder.ts";
import { say } from "../system/terminal.ts";

export const summary = "write a part of a composed checkpoint as it was published";

const names = partNames.map((name) => name.replace("_", "-"));

const spec = {
  name: "export",
  summary,
  usage: "MODEL --part NAME -o DIR [options]",
  options: {
    part: { kind: "text", value: "NAME", help: names.join(", ") },
    output: { kind: "text", value: "DIR", short: "o", help: "the folder to write" },
    force: { kind: "flag", help: "write into a folder that holds something already" },
  },
  examples: ["wanstream export models/mine --part backbone -o out/qwen3"],
} as const satisfies CommandSpec<Record<string, Option>>;

/** @returns The exit code. */
export const run = (args: string[]) =>
  runCommand(spec, args, async ({ part: asked, output, force }, [model, surplus]) => {
    if (model === undefined || surplus !== undefined) {
      throw new InputError("export takes one MODEL: the folder of a composed checkpoint");
    }
    const part = partNames.find((name): name is PartName => name.replace("_", "-") === asked);
    if (part === undefined) {
      throw new InputError(
        `export: --part is ${asked ?? "missing"}; it may be ${names.join(", ")}`,
      );
    }
    if (output === undefined) throw new InputError("export needs -o DIR, the folder to write");
    const folder = output.replace(/(?<=.)\/+$/, "");
    await checkFree(folder, force);
    const { files, close } = await exportPart(model, part);
    try {
      const done = await inNewFolder(folder, async (partial, signal) => {
        for (const { name, chunks } of files) {
          using file = await Deno.create(`${partial}/${name}`);
          for await (const chunk of chunks) {
            signal.throwIfAborted();
            await writeAll(file, chunk);
          }
        }
      });
      if (!done) return interruptedCode;
      say(`${folder}: ${files.map(({ name }) => name).join(", ")}`);
      return 0;
    } finally {
      close();
    }
  });
