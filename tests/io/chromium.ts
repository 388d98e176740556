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

/** A tab of a running browser, driven through Chrome's DevTools protocol. */
export class Tab implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #socket: WebSocket;
  readonly #drained: Promise<void>;
  readonly #answers = new Map<number, PromiseWithResolvers<Record<string, unknown>>>();
  #id = 0;
  #session: string | undefined;
  /** Addresses that it asked for, without the page's own and `data:`. */
  readonly asked: string[] = [];
  /** What it said of errors. */
  readonly errors: string[] = [];

  private constructor(child: Deno.ChildProcess, socket: WebSocket, drained: Promise<void>) {
    this.#child = child;
    this.#socket = socket;
    this.#drained = drained;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
  }

  /** Opens a page. @param folder Where its profile may lie. */
  static async open(page: string, folder: string, width = 1280, height = 900): Promise<Tab> {
    const child = new Deno.Command(chromium ?? "", {
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...[`--user-data-dir=${folder}/chromium`, "--remote-debugging-port=0"],
        ...["--autoplay-policy=no-user-gesture-required", `--window-size=${width},${height}`],
        "about:blank",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const lines = child.stderr.pipeThrough(new TextDecoderStream());
    let said = "";
    let address: string | undefined;
    for await (const part of lines.values({ preventCancel: true })) {
      address = /DevTools listening on (\S+)/.exec(said += part)?.[1];
      if (address !== undefined) break;
    }
    if (address === undefined) throw new Error(`Chromium didn't open its port: ${said}`);
    const drained = lines.pipeTo(new WritableStream()).catch(() => {});
    const socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const tab = new Tab(child, socket, drained);
    const { targetId } = await tab.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await tab.send("Target.attachToTarget", { targetId, flatten: true });
    tab.#session = String(sessionId);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await tab.send(`${domain}.enable`);
    await tab.send("Page.navigate", { url: `file://${page}` });
    return tab;
  }

  /** Calls a method of the protocol. */
  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const answer = Promise.withResolvers<Record<string, unknown>>();
    this.#answers.set(++this.#id, answer);
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#socket.send(JSON.stringify({ id: this.#id, method, params, ...session }));
    return answer.promise;
  }

  #hear(
    { id, result, error, method, params }: {
      id?: number;
      result?: Record<string, unknown>;
      error?: { message: string };
      method?: string;
      params?: {
        request?: { url: string };
        exceptionDetails?: { text: string; exception?: { description?: string } };
        entry?: { level: string; text: string };
      };
    },
  ): void {
    if (id !== undefined) {
      if (error) this.#answers.get(id)?.reject(new Error(error.message));
      else this.#answers.get(id)?.resolve(result ?? {});
      this.#answers.delete(id);
    }
    const url = params?.request?.url;
    if (method === "Network.requestWillBeSent" && url && !/^(file|data|blob):/.test(url)) {
      this.asked.push(url);
    }
    if (method === "Runtime.exceptionThrown") {
      const details = params?.exceptionDetails;
      this.errors.push(details?.exception?.description ?? details?.text ?? "");
    }
    if (method === "Log.entryAdded" && params?.entry?.level === "error") {
      this.errors.push(params.entry.text);
    }
  }

  /** The value of an expression in the page, a promise's too. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      ...{ expression, awaitPromise: true, returnByValue: true },
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value?: unknown }).value;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string): Promise<void> {
    while (await this.evaluate(`Boolean(${expression})`) !== true) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Clicks at a point of the window. */
  async click(x: number, y: number): Promise<void> {
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  /** Presses a key, by the name that `KeyboardEvent.key` has. */
  async press(key: string): Promise<void> {
    const codes: Record<string, number> = { Enter: 13, Escape: 27, ArrowLeft: 37, ArrowRight: 39 };
    const common = { key, code: key, windowsVirtualKeyCode: codes[key] ?? 0 };
    await this.send("Input.dispatchKeyEvent", { type: "rawKeyDown", ...common });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...common });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#child.kill();
    await Promise.all([closed, this.#child.status, this.#drained]);
  }
}
