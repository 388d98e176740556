/**
 * An ONNX model of one product or attention, as the protocol buffer that ONNX's onnx.proto describes
 * (field numbers in comments): small enough to write by hand, so no library for it.
 */
import { headsFirst, type Operands, transposed, type Work } from "./work.ts";

const none = new Float32Array(0);

/** The model, its one input "a" and that input's shape; the output is "y". */
export function onnxModel(
  work: Work,
  { x = none, w = none, q = none, k = none, v = none }: Operands,
): { model: Uint8Array; input: Float32Array<ArrayBuffer>; dims: number[] } {
  if (work.kind === "product") {
    const { rows, outputs, inputs } = work;
    const dims = [rows, inputs];
    const weight = initializer(
      "w",
      [inputs, outputs],
      transposed(w, outputs, inputs),
    );
    const graph = [node("MatMul", ["a", "w"], "y"), weight];
    return { model: model(graph, dims, [rows, outputs]), input: x, dims };
  }
  const { queries, keys, heads, dim } = work;
  const dims = [heads, queries, dim];
  const byHead = headsFirst(k, keys, heads, dim);
  const turned = new Float32Array(byHead.length);
  for (let head = 0; head < heads; head++) {
    const from = head * keys * dim;
    turned.set(
      transposed(byHead.subarray(from, from + keys * dim), keys, dim),
      from,
    );
  }
  const graph = [
    node("MatMul", ["a", "k"], "s"),
    node("Softmax", ["s"], "p"),
    node("MatMul", ["p", "v"], "y"),
    initializer("k", [heads, dim, keys], turned),
    initializer("v", [heads, keys, dim], headsFirst(v, keys, heads, dim)),
  ];
  const scaled = q.map((value) => value / Math.sqrt(dim));
  return {
    model: model(graph, dims, dims),
    input: headsFirst(scaled, queries, heads, dim),
    dims,
  };
}

type Bytes = Uint8Array<ArrayBuffer>;

function concat(parts: readonly Bytes[]): Bytes {
  const whole = new Uint8Array(
    parts.reduce((sum, part) => sum + part.length, 0),
  );
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function varint(value: number): Bytes {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) {
    bytes.push((value % 128) | 128);
  }
  return Uint8Array.from([...bytes, value]);
}

/** A field of wire type 0. */
const int = (field: number, value: number) => concat([varint(field * 8), varint(value)]);

/** A field of wire type 2. */
function block(field: number, ...parts: Bytes[]): Bytes {
  const body = concat(parts);
  return concat([varint(field * 8 + 2), varint(body.length), body]);
}

const text = (field: number, value: string) => block(field, new TextEncoder().encode(value));

/** GraphProto.node = 1: NodeProto of input = 1, output = 2, op_type = 4. */
const node = (operator: string, inputs: string[], output: string) =>
  block(
    1,
    ...inputs.map((name) => text(1, name)),
    text(2, output),
    text(4, operator),
  );

/** GraphProto.initializer = 5: TensorProto of dims = 1, data_type = 2, name = 8, raw_data = 9. */
const initializer = (
  name: string,
  dims: number[],
  data: Float32Array<ArrayBuffer>,
) =>
  block(
    5,
    ...dims.map((extent) => int(1, extent)),
    int(2, 1),
    text(8, name),
    block(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  );

/** ValueInfoProto of name = 1, type = 2: TypeProto.tensor_type = 1 of elem_type = 1, shape = 2. */
const value = (field: number, name: string, dims: number[]) =>
  block(
    field,
    text(1, name),
    block(
      2,
      block(
        1,
        int(1, 1),
        block(2, ...dims.map((extent) => block(1, int(1, extent)))),
      ),
    ),
  );

/** ModelProto of ir_version = 1, graph = 7 (with input = 11, output = 12), opset_import = 8. */
const model = (graph: Bytes[], input: number[], output: number[]) =>
  concat([
    int(1, 8),
    block(
      7,
      ...graph,
      text(2, "work"),
      value(11, "a", input),
      value(12, "y", output),
    ),
    block(8, int(2, 17)),
  ]);
