/** Other libraries that run on WebGPU, each as its documentation has it and with operands in the order
 * of axes that suits it. Loaded when asked for; their types are the few that are used. */
import { headsFirst, type Library, type Operands, transposed, type Work } from "./work.ts";
import { onnxModel } from "./onnx_model.ts";

const none = new Float32Array(0);

interface JaxArray {
  ref: JaxArray;
  reshape(shape: number[]): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): void;
  jit<F>(f: F): F;
  blockUntilReady(arrays: JaxArray[]): Promise<unknown>;
  numpy: {
    array(data: Float32Array): JaxArray;
    matmul(x: JaxArray, y: JaxArray): JaxArray;
  };
  nn: { dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray): JaxArray };
}

/** jax-js: arrays are moved into what uses them, `ref` keeps one more. */
export async function jax(): Promise<Library> {
  const specifier = "@jax-js/jax";
  const lib: Jax = await import(specifier);
  if (!(await lib.init("webgpu")).includes("webgpu")) {
    throw new Error("no WebGPU backend");
  }
  lib.defaultDevice("webgpu");
  const array = (data: Float32Array, shape: number[]) => lib.numpy.array(data).reshape(shape);
  return {
    name: "@jax-js/jax",
    version: "0.1.25",
    prepare(work, operands) {
      const inputs = jaxInputs(work, operands, array);
      const f = work.kind === "product"
        ? lib.jit((x: JaxArray, w: JaxArray) => lib.numpy.matmul(x, w))
        : lib.jit((q: JaxArray, k: JaxArray, v: JaxArray) => lib.nn.dotProductAttention(q, k, v));
      const call = f as (...inputs: JaxArray[]) => JaxArray;
      return Promise.resolve(async (times) => {
        const results = Array.from(
          { length: times },
          () => call(...inputs.map((one) => one.ref)),
        );
        await lib.blockUntilReady(results.map((one) => one.ref)).then(dispose);
        const last = results.pop();
        dispose(results);
        if (!last) throw new Error("nothing was run");
        return await last.data();
      });
    },
  };
}

function dispose(arrays: unknown): void {
  for (const one of arrays as JaxArray[]) one.dispose();
}

function jaxInputs(
  work: Work,
  operands: Operands,
  array: (data: Float32Array, shape: number[]) => JaxArray,
): JaxArray[] {
  const { x = none, w = none, q = none, k = none, v = none } = operands;
  if (work.kind === "product") {
    const { rows, outputs, inputs } = work;
    return [
      array(x, [rows, inputs]),
      array(transposed(w, outputs, inputs), [inputs, outputs]),
    ];
  }
  const { queries, keys, heads, dim } = work;
  return [
    array(q, [queries, heads, dim]),
    array(k, [keys, heads, dim]),
    array(v, [keys, heads, dim]),
  ];
}

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  getBackend(): string;
  tensor(data: Float32Array, shape: number[]): TfTensor;
  matMul(
    a: TfTensor,
    b: TfTensor,
    transposeA?: boolean,
    transposeB?: boolean,
  ): TfTensor;
  softmax(x: TfTensor): TfTensor;
  tidy(f: () => TfTensor): TfTensor;
}

/** TensorFlow.js: attention as its own products and softmax, heads first. */
export async function tfjs(): Promise<Library> {
  const [core, backend] = [
    "@tensorflow/tfjs-core",
    "@tensorflow/tfjs-backend-webgpu",
  ];
  const tf: Tf = await import(core);
  await import(backend);
  await tf.setBackend("webgpu");
  await tf.ready();
  if (tf.getBackend() !== "webgpu") {
    throw new Error(`its backend is ${tf.getBackend()}`);
  }
  return {
    name: "@tensorflow/tfjs-backend-webgpu",
    version: "4.22.0",
    prepare(work, operands) {
      const { x = none, w = none, q = none, k = none, v = none } = operands;
      let call: () => TfTensor;
      if (work.kind === "product") {
        const a = tf.tensor(x, [work.rows, work.inputs]);
        const weight = transposed(w, work.outputs, work.inputs);
        const b = tf.tensor(weight, [work.inputs, work.outputs]);
        call = () => tf.matMul(a, b);
      } else {
        const { queries, keys, heads, dim } = work;
        const scaled = q.map((value) => value / Math.sqrt(dim));
        const a = tf.tensor(headsFirst(scaled, queries, heads, dim), [
          heads,
          queries,
          dim,
        ]);
        const b = tf.tensor(headsFirst(k, keys, heads, dim), [
          heads,
          keys,
          dim,
        ]);
        const c = tf.tensor(headsFirst(v, keys, heads, dim), [
          heads,
          keys,
          dim,
        ]);
        call = () => tf.tidy(() => tf.matMul(tf.softmax(tf.matMul(a, b, false, true)), c));
      }
      return Promise.resolve(async (times) => {
        const results = Array.from({ length: times }, call);
        const last = results.at(-1);
        if (!last) throw new Error("nothing was run");
        const data = await last.data();
        for (const result of results) result.dispose();
        return inOrder(work, data);
      });
    },
  };
}

/** Attention's result with heads first, as [query, head, dim]. */
function inOrder(work: Work, data: Float32Array): Float32Array {
  return work.kind === "product" ? data : headsFirst(data, work.heads, work.queries, work.dim);
}

interface OrtTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}

interface Ort {
  env: { logLevel: string; webgpu: { device: Promise<GPUDevice> | GPUDevice } };
  Tensor: {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: "float32"; dims: number[] },
    ): OrtTensor;
  };
  InferenceSession: {
    create(
      model: Uint8Array,
      options: {
        executionProviders: string[];
        preferredOutputLocation: string;
      },
    ): Promise<
      {
        run(
          feeds: Record<string, OrtTensor>,
        ): Promise<Record<string, OrtTensor>>;
      }
    >;
  };
}

/** ONNX Runtime: a model of the same work with its weights inside; results stay on the adapter. */
export async function onnx(): Promise<Library> {
  const specifier = "onnxruntime-web/webgpu";
  const module: Ort & { default?: Ort } = await import(specifier);
  const ort = module.default ?? module;
  ort.env.logLevel = "error";
  return {
    name: "onnxruntime-web",
    version: "1.30.0",
    async prepare(work, operands) {
      const { model, input, dims } = onnxModel(work, operands);
      const session = await ort.InferenceSession.create(model, {
        executionProviders: ["webgpu"],
        preferredOutputLocation: "gpu-buffer",
      });
      const device = await ort.env.webgpu.device;
      const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
      const usage = STORAGE | COPY_DST | COPY_SRC;
      const size = Math.ceil(input.byteLength / 16) * 16;
      const buffer = device.createBuffer({ size, usage });
      device.queue.writeBuffer(buffer, 0, input);
      const a = ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
      return async (times) => {
        const results: OrtTensor[] = [];
        for (let i = 0; i < times; i++) {
          const { y } = await session.run({ a });
          if (y) results.push(y);
        }
        const last = results.at(-1);
        if (!last) throw new Error("the model gave nothing");
        const data = (await last.getData()).slice();
        for (const result of results) result.dispose();
        return inOrder(work, data);
      };
    },
  };
}
