/** Describes the adapter of the spec that it is sent; null when there is none. */
import { requestAdapter, traitsOf } from "./adapter.ts";
import { InputError } from "./errors.ts";

/** What an adapter says of itself. */
export interface AdapterFacts {
  /** Its name. */
  name: string;
  /** Runs on the CPU: right, but slow. */
  software: boolean;
  /** WebGPU features that it has. */
  features: string[];
  /** WebGPU limits by name. */
  limits: Record<string, number>;
}

const worker = self as unknown as {
  onmessage: ((event: MessageEvent<string>) => void) | null;
  postMessage(reply: AdapterFacts | null): void;
};

worker.onmessage = async ({ data }) => {
  worker.postMessage(await describe(data));
};

async function describe(spec: string): Promise<AdapterFacts | null> {
  try {
    const { info, features, limits } = await requestAdapter(spec);
    const name = info.description || info.device || "unnamed adapter";
    const numbers: Record<string, number> = {};
    for (const key in limits) numbers[key] = limits[key as keyof GPUSupportedLimits] as number;
    const software = traitsOf(info).cpu;
    return { name, software, features: [...features].sort(), limits: numbers };
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}
