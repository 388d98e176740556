/** A Worker as a user may have: opens the adapter that it is sent again and again, each time in a
 * thread of its own, and sends the names that it got. */
const own = self as unknown as {
  onmessage: (event: MessageEvent<{ spec: string; times: number }>) => void;
  postMessage(names: string[]): void;
};

own.onmessage = async ({ data: { spec, times } }) => {
  const names: string[] = [];
  while (names.length < times) {
    const url = new URL("../../../kernels/gpu/probe_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    names.push(
      await new Promise<string>((resolve) => {
        worker.onmessage = ({ data }) => resolve(data?.name ?? "none");
        worker.postMessage(spec);
      }),
    );
    worker.terminate();
  }
  own.postMessage(names);
};
