/**
 * Prints what a task may start, as `--allow-run` takes it: each FFmpeg that io may choose (FFMPEG_BIN,
 * ffmpeg-static's file, PATH) and the programs that the arguments name or give the path of; `deno` means
 * this Deno.
 *
 * Only what exists is named, because Deno comments on names that it cannot find.
 */
import { resolve } from "node:path";
import { existing, ffmpegStatic, onPath } from "./programs.ts";

const asked = Deno.env.get("FFMPEG_BIN") ?? "";
const caller = Deno.env.get("INIT_CWD") ?? ".";
const programs = existing([
  /[/\\]/.test(asked) ? resolve(caller, asked) : onPath(asked || "ffmpeg"),
  await ffmpegStatic(),
  onPath("ffmpeg"),
  ...Deno.args.map((name) =>
    name === "deno" ? Deno.execPath() : name.startsWith("/") ? name : onPath(name)
  ),
]);
// An empty list would be an error.
const list = programs.length > 0 ? programs.join(",") : "/usr/bin/ffmpeg";
Deno.stdout.writeSync(new TextEncoder().encode(list));
