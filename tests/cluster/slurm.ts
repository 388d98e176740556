/** A Slurm cluster of one node on loopback, for tests: its own munge, ports and folders, no cgroups. */
import { existing, onPath } from "../../scripts/programs.ts";

const programs = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "scancel", "sinfo"];

function find(name: string): string | undefined {
  // Debian's daemons stand where only root's PATH leads.
  return onPath(name) ?? existing([`/usr/sbin/${name}`])[0];
}

/** Why there can be no cluster here; null: there can. */
export function whyNoSlurm(): string | null {
  const missing = programs.filter((name) => find(name) === undefined);
  return missing.length === 0
    ? null
    : `no ${missing.join(", ")}; Debian: apt-get install slurm-wlm munge`;
}

/** One task of an array. */
export interface Task {
  state: string;
  /** Exit code and signal, "4:0". */
  exit: string;
  restarts: number;
}

/** What a state may need on a machine that is busy with other things. */
const patienceMs = 300_000;

/** Asks again and again until there is an answer. @throws when there is none for too long. */
export async function until<T>(
  what: string,
  answer: () => Promise<T | null | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + patienceMs;
  while (true) {
    const found = await answer();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`${what}: not after ${patienceMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export class Slurm implements AsyncDisposable {
  readonly #daemons: Deno.ChildProcess[] = [];
  readonly #folder: string;
  readonly #hurried = new Set<string>();
  readonly env: Record<string, string>;

  private constructor(folder: string) {
    this.#folder = folder;
    this.env = { SLURM_CONF: `${folder}/slurm.conf` };
  }

  /**
   * Starts it in an empty folder and waits until its node takes jobs.
   *
   * @param slots How many tasks may run at once, whatever processors there are.
   */
  static async start(folder: string, slots: number): Promise<Slurm> {
    const slurm = new Slurm(folder);
    try {
      await slurm.#start(slots);
      return slurm;
    } catch (error) {
      const logs = ["munged", "slurmctld", "slurmd"].map((name) => slurm.#log(name));
      await slurm[Symbol.asyncDispose]();
      throw new Error(`Slurm doesn't start: ${error}\n${logs.join("\n")}`);
    }
  }

  async #start(slots: number): Promise<void> {
    const folder = this.#folder;
    const [user, host] = (await Promise.all([output("id", ["-un"]), output("uname", ["-n"])]))
      .map((text) => text.trim());
    const key = crypto.getRandomValues(new Uint8Array(64));
    await Deno.writeFile(`${folder}/munge.key`, key, { mode: 0o600 });
    for (const name of ["state", "spool"]) await Deno.mkdir(`${folder}/${name}`, { mode: 0o755 });
    const [control, node] = freePorts(2);
    const configuration = {
      ClusterName: "test",
      SlurmctldHost: `${host}(127.0.0.1)`,
      SlurmUser: user,
      SlurmdUser: user,
      SlurmctldPort: control,
      SlurmdPort: node,
      AuthType: "auth/munge",
      CredType: "cred/munge",
      AuthInfo: `socket=${folder}/munge.socket`,
      StateSaveLocation: `${folder}/state`,
      SlurmdSpoolDir: `${folder}/spool`,
      SlurmctldPidFile: `${folder}/slurmctld.pid`,
      SlurmdPidFile: `${folder}/slurmd.pid`,
      ProctrackType: "proctrack/linuxproc",
      TaskPlugin: "task/none",
      JobAcctGatherType: "jobacct_gather/none",
      SwitchType: "switch/none",
      MpiDefault: "none",
      SelectType: "select/cons_tres",
      SelectTypeParameters: "CR_CPU",
      SlurmdParameters: "config_overrides",
      ReturnToService: 2,
      SchedulerParameters: "batch_sched_delay=0,sched_interval=1,bf_interval=1",
      // A machine that is busy with other things answers late, and jobs that have ended are looked at.
      SlurmdTimeout: 3600,
      SlurmctldTimeout: 3600,
      MinJobAge: 3600,
    };
    const lines = [
      ...Object.entries(configuration).map(([name, value]) => `${name}=${value}`),
      `NodeName=${host} NodeAddr=127.0.0.1 CPUs=${2 * slots} RealMemory=1000000 State=UNKNOWN`,
      `PartitionName=test Nodes=${host} Default=YES MaxTime=INFINITE State=UP`,
    ];
    await Deno.writeTextFile(`${folder}/slurm.conf`, `${lines.join("\n")}\n`);

    const munge = ["--key-file", "--socket", "--pid-file", "--seed-file"]
      .map((option) => `${option}=${folder}/munge.${option.slice(2).replace(/-file$/, "")}`);
    this.#daemon("munged", ["--foreground", "--force", ...munge]);
    await until("munge's socket", () => Deno.stat(`${folder}/munge.socket`).catch(() => null));
    this.#daemon("slurmctld", ["-D", "-c", "-f", `${folder}/slurm.conf`]);
    this.#daemon("slurmd", ["-D", "-f", `${folder}/slurm.conf`]);
    await until(
      "an idle node",
      async () => (await this.run("sinfo", "-h", "-o", "%T")).trim() === "idle",
    );
  }

  #daemon(name: string, args: string[]): void {
    const path = find(name) ?? name;
    const child = new Deno.Command("sh", {
      args: [
        "-c",
        'log=$1; shift; exec "$@" >"$log" 2>&1',
        "sh",
        this.#logFile(name),
        path,
        ...args,
      ],
      env: this.env,
      stdin: "null",
    }).spawn();
    this.#daemons.push(child);
  }

  #logFile = (name: string) => `${this.#folder}/${name}.log`;

  #log(name: string): string {
    return existing([this.#logFile(name)]).map((path) => Deno.readTextFileSync(path)).join("");
  }

  /** Runs a client of Slurm; what it prints. "" when it fails (the controller may be busy). */
  async run(name: string, ...args: string[]): Promise<string> {
    return await output(find(name) ?? name, args, this.env).catch(() => "");
  }

  /** Submits an array. @returns the job's number. */
  async submit(options: string[], env: Record<string, string>): Promise<string> {
    const text = await output(find("sbatch") ?? "sbatch", ["--parsable", ...options], {
      ...this.env,
      ...env,
    });
    return text.trim();
  }

  /**
   * The tasks of an array by index; those that wait together are left out. Slurm lets a task that was
   * queued again wait for two minutes: here it starts after a few seconds. At once it can't, because a
   * node refuses credentials of the second in which the task was ended.
   */
  async tasks(job: string): Promise<Map<number, Task>> {
    const text = await this.run("scontrol", "show", "job", "-o", job);
    const tasks = text.split("\n").flatMap((line): [number, Task][] => {
      const fields = new Map(
        [...line.matchAll(/(\w+)=(\S*)/g)].map(([, key = "", value = ""]) => [key, value]),
      );
      const index = Number(fields.get("ArrayTaskId") ?? NaN);
      if (!Number.isInteger(index)) return [];
      return [[index, {
        state: fields.get("JobState") ?? "",
        exit: fields.get("ExitCode") ?? "",
        restarts: Number(fields.get("Restarts")),
      }]];
    });
    for (const [index, { state, restarts }] of tasks) {
      const again = `${job}_${index} ${restarts}`;
      if (state !== "PENDING" || restarts === 0 || this.#hurried.has(again)) continue;
      this.#hurried.add(again);
      await this.run("scontrol", "update", `JobId=${job}_${index}`, "StartTime=now+3");
    }
    return new Map(tasks);
  }

  /** Stops the daemons and what they started. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.run("scancel", "--full", "--signal=KILL", "--state=RUNNING");
    for (const child of this.#daemons.reverse()) {
      try {
        child.kill("SIGTERM");
      } catch { /* It has ended. */ }
      await child.status;
    }
  }
}

async function output(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env, stdin: "null" })
    .output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${program} ${args.join(" ")}: ${text.decode(stderr)}`);
  return text.decode(stdout);
}

/** Ports that are free now. */
function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  for (const listener of listeners) listener.close();
  return ports;
}
