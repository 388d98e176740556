/** Finding programs, for the scripts that set up and start the rest. */

/** The file that a program's name means on PATH; undefined when there is none. */
export function onPath(name: string): string | undefined {
  const windows = Deno.build.os === "windows";
  const folders = (Deno.env.get("PATH") ?? "").split(windows ? ";" : ":");
  return existing(folders.map((folder) => `${folder || "."}/${name}${windows ? ".exe" : ""}`))[0];
}

/** The paths that name files. */
export function existing(paths: readonly (string | undefined)[]): string[] {
  return paths.filter((path): path is string => {
    try {
      return path !== undefined && Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** Where ffmpeg-static keeps its FFmpeg or will keep it; undefined for platforms without one, or when
 * the package itself cannot be had. */
export async function ffmpegStatic(): Promise<string | undefined> {
  // In a variable, so that Deno fetches the package no sooner than it is needed.
  const specifier = "ffmpeg-static";
  try {
    const module: { default: unknown } = await import(specifier);
    return typeof module.default === "string" ? module.default : undefined;
  } catch {
    return undefined;
  }
}
