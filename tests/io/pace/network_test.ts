import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { InputError } from "../../../engine/config/errors.ts";
import { Link, type Network, packet, parseNetwork } from "../../../io/pace/network.ts";
import { quantile } from "../../../kernels/measure/quantile.ts";
import { random } from "../../reference/random.ts";
import { philox } from "../../reference/philox.ts";

const network: Network = { delay: 350, jitter: 80, loss: 0.1, seed: 7 };
const units = Array.from({ length: 4000 }, (_, unit) => unit);

Deno.test("parseNetwork() reads delay, jitter, loss and seed, in Unicode and in ASCII", () => {
  assertEquals(parseNetwork("350ms"), { delay: 350, jitter: 0, loss: 0, seed: 0 });
  const full = { delay: 350, jitter: 80, loss: 0.01, seed: 7 };
  assertEquals(parseNetwork("350ms±80ms,loss=1%,seed=7"), full);
  assertEquals(parseNetwork("0.35s+-80ms,seed=7,loss=1%"), full);
  assertEquals(parseNetwork("350ms+/-80ms, loss=1%, seed=7"), full);
});

Deno.test("parseNetwork() names the part that can't be read", () => {
  const parts: Record<string, string> = {
    "": "''",
    "350": "'350'",
    "fast": "'fast'",
    "350ms±": "''",
    "50ms±80ms": "more jitter",
    "350ms±1ms±2ms": "more than one",
    "350ms,loss=1": "'loss=1'",
    "350ms,loss=101%": "'loss=101%'",
    "350ms,seed=1.5": "'seed=1.5'",
    "350ms,seed=1,seed=2": "'seed=2'",
    "350ms,los=1%": "'los=1%'",
    "-1ms": "'-1ms'",
    "2000s": "a minute",
  };
  for (const [text, part] of Object.entries(parts)) {
    const error = assertThrows(() => parseNetwork(text), InputError);
    assert(error instanceof InputError);
    assertStringIncludes(error.message, part);
  }
});

Deno.test("packet() is drawn by Philox from seed, direction and unit", () => {
  const words = philox([5, 0, 1, 0], [7, 0]);
  const { delay } = packet(network, "down", 5);
  assertEquals(delay, 175 + (2 * (words[0] / 2 ** 32) - 1) * 40);
});

Deno.test("packet() gives each direction half of delay and jitter, independently", () => {
  const up = units.map((unit) => packet(network, "up", unit).delay);
  const down = units.map((unit) => packet(network, "down", unit).delay);
  for (const delays of [up, down]) {
    assert(Math.min(...delays) >= 135 && Math.max(...delays) <= 215);
    assert(Math.min(...delays) < 137 && Math.max(...delays) > 213);
    assert(Math.abs(quantile(delays, 0.5) - 175) < 3);
  }
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const product = mean(up.map((delay, i) => (delay - 175) * ((down[i] ?? 0) - 175)));
  assert(Math.abs(product) < 0.05 * (40 * 40) / 3 * 2, `covariance ${product}`);
  assert(up.some((delay, i) => delay !== packet({ ...network, seed: 8 }, "up", i).delay));
});

Deno.test("packet() loses the share that is asked for in each direction", () => {
  for (const direction of ["up", "down"] as const) {
    const share = (loss: number) =>
      units.filter((unit) => packet({ ...network, loss }, direction, unit).lost).length /
      units.length;
    assertEquals([share(0), share(1)], [0, 1]);
    assert(Math.abs(share(0.1) - 0.1) < 0.02);
  }
});

Deno.test("Link never lets a packet overtake, and none that isn't lost is late", () => {
  const next = random(1);
  for (let run = 0; run < 20; run++) {
    const delay = next() * 500;
    const link = new Link({ delay, jitter: next() * delay, loss: 0.2, seed: run }, "up");
    let sent = 0;
    let before = -Infinity;
    for (let unit = 0; unit < 200; unit++) {
      sent += next() * 200;
      const { at, lost } = link.send(unit, sent);
      assert(at >= sent && at <= sent + link.longest + 1e-9, `${at} ${sent}`);
      if (lost) continue;
      assert(at >= before);
      before = at;
    }
  }
});

Deno.test("Link without jitter delays by half; without a network not at all", () => {
  const link = new Link({ delay: 350, jitter: 0, loss: 0, seed: 0 }, "down");
  assertEquals(link.send(0, 1000), { at: 1175, lost: false });
  assertEquals(new Link(null, "down").send(0, 1000), { at: 1000, lost: false });
});
