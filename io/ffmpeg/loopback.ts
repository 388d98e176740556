/**
 * FFmpeg's second channel: a TCP port on 127.0.0.1 that takes one connection and then closes.
 *
 * Not a Unix socket: Deno's --allow-net wants its exact path beforehand.
 */
import { InputError } from "../../engine/config/errors.ts";

/** A port that waits for one connection. */
export class Loopback {
  readonly #listener: Deno.TcpListener;
  /** The address to give to FFmpeg. */
  readonly url: string;
  #open = true;

  /** @throws InputError without the permission to listen. */
  constructor() {
    try {
      this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotCapable)) throw error;
      throw new InputError(
        "sound and picture need a second channel to FFmpeg: run with Deno's --allow-net=127.0.0.1",
      );
    }
    this.url = `tcp://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** The one connection; null when `close` was called first. */
  async accept(): Promise<Deno.TcpConn | null> {
    try {
      const connection = await this.#listener.accept();
      this.close();
      return connection;
    } catch (error) {
      if (!this.#open) return null;
      throw error;
    }
  }

  /** Stops waiting. */
  close(): void {
    if (this.#open) this.#listener.close();
    this.#open = false;
  }
}
