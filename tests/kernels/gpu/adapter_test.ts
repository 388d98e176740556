import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  driverFile,
  driverFiles,
  driversUnloaded,
  requestAdapter,
  stem,
} from "../../../kernels/gpu/adapter.ts";
import { InputError } from "../../../kernels/gpu/errors.ts";
import { listAdapters } from "../../../kernels/gpu/probe.ts";

const variables = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];
const environment = () => variables.map((name) => Deno.env.get(name));

Deno.test("driverFile() takes a part of a name or a path, and says what may be", () => {
  assertEquals(driverFile("default"), undefined);
  for (const file of driverFiles()) {
    assertEquals(driverFile(stem(file)), file);
  }
  const elsewhere = new URL(import.meta.url).pathname;
  assertEquals(driverFile(elsewhere), elsewhere, "a driver file may lie anywhere");
  assertThrows(() => driverFile("no such card"), InputError, "matches nothing: it may be default");
  assertThrows(() => driverFile("/no/such.json"), InputError, "matches nothing");
});

Deno.test("probing and requesting adapters leave the environment as it was", async () => {
  const before = environment();
  const adapters = await listAdapters();
  assertEquals(environment(), before);
  for (const { spec, name, driverFile: file } of adapters) {
    assert(name !== "");
    if (file) assertEquals(driverFile(spec), file);
  }
  const [first] = adapters;
  if (first) await requestAdapter(first.spec);
  assertEquals(environment(), before);
});

Deno.test("adapters listed at once leave the environment as it was", async () => {
  const before = environment();
  const lists = await Promise.all(Array.from({ length: 4 }, () => listAdapters()));
  assertEquals(environment(), before);
  for (const list of lists) {
    assertEquals(
      list.map(({ spec }) => spec),
      lists[0]?.map((a) => a.spec),
    );
  }
});

const adapters = await listAdapters();
const [one, other] = adapters.filter(({ driverFile }) => driverFile !== null);
Deno.test({
  name: "threads that open two drivers at once get the right ones, and lists are whole meanwhile" +
    (other ? "" : " (skipped: there are no two drivers; Debian: apt-get install chromium)"),
  ignore: !other,
  // Terminated Workers leave their ports behind.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    if (!one || !other) return;
    const before = environment();
    const openers = [one, other, one, other].map(({ spec, name }) => ({
      name,
      spec,
      worker: new Worker(new URL("./opener.ts", import.meta.url), { type: "module" }),
    }));
    const opened = Promise.all(
      openers.map(({ name, spec, worker }) =>
        new Promise<void>((resolve, reject) => {
          worker.onmessage = ({ data }) => {
            if (data.every((got: string) => got === name)) resolve();
            else reject(new Error(`${spec} is ${name}, but ${data} were opened`));
          };
          worker.postMessage({ spec, times: 5 });
        })
      ),
    );
    try {
      assertEquals(await listAdapters(), adapters);
      await opened;
    } finally {
      for (const { worker } of openers) worker.terminate();
    }
    assertEquals(environment(), before);
  },
});

Deno.test("variables that an ended thread left behind are not taken for the user's", async () => {
  const before = environment();
  const files = driverFiles();
  for (const was of [undefined, "/a/first.json:/b/second.json"]) {
    const kept = was === undefined ? "" : `/${encodeURIComponent(was)}`;
    for (const name of variables) {
      Deno.env.set(name, `/c/chosen.json:/dev/null/wanstream-before${kept}`);
    }
    assertEquals(driverFiles(), was?.split(":") ?? files);
    await driversUnloaded();
    assertEquals(environment(), [was, was]);
  }
  variables.forEach((name, i) => {
    const value = before[i];
    if (value === undefined) Deno.env.delete(name);
    else Deno.env.set(name, value);
  });
});

Deno.test("VK_DRIVER_FILES narrows what there is to the files that it names", () => {
  const before = Deno.env.get("VK_DRIVER_FILES");
  try {
    Deno.env.set("VK_DRIVER_FILES", "/a/first.json:/b/second.json");
    assertEquals(driverFiles(), ["/a/first.json", "/b/second.json"]);
    assertEquals(driverFile("second"), "/b/second.json");
    assertThrows(() => driverFile("lvp"), InputError, "default, first, second");
  } finally {
    if (before === undefined) Deno.env.delete("VK_DRIVER_FILES");
    else Deno.env.set("VK_DRIVER_FILES", before);
  }
});
