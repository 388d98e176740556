/** Pages as a real browser shows them. */
import { existing, onPath } from "../../scripts/programs.ts";

/** Undefined: there is none on PATH. */
export const chromium = existing(["chromium", "chromium-browser", "google-chrome"].map(onPath))[0];

/** The page as Chromium has rendered it. @param folder Where its profile may lie. */
export async function rendered(page: string, folder: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(chromium ?? "", {
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ...[`--user-data-dir=${folder}/chromium`, ...args, "--dump-dom", `file://${page}`],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
