/** Whether the agent looks like the character whose picture it was given, and goes on to. */
import type { Outcome } from "./outcomes.ts";
import { faceSize, type TruthCharacter } from "./truth.ts";

/** Seconds of which a mean picture is made, and at both ends of which drift is measured. */
const window = 5;
const end = 30;

/** Pictures of one stream, one after the other. */
export class Faces {
  private readonly character: TruthCharacter;
  private readonly width: number;
  private readonly height: number;
  private readonly perWindow: number;
  readonly #seen: boolean[];
  readonly #sums: Float64Array;
  #count = 0;
  readonly #windows: Float64Array[] = [];

  constructor(character: TruthCharacter, width: number, height: number, fps: number) {
    this.character = character;
    this.width = width;
    this.height = height;
    this.perWindow = window * fps;
    this.#sums = new Float64Array(width * height * 3);
    this.#seen = seenCells(character);
  }

  /** @param frame RGB24 [height, width, 3] */
  add(frame: Uint8Array): void {
    const sums = this.#sums;
    for (let i = 0; i < frame.length; i++) sums[i] = (sums[i] as number) + (frame[i] as number);
    if (++this.#count < this.perWindow) return;
    this.#windows.push(madeSmall(sums.map((sum) => sum / this.#count), this.width, this.height));
    sums.fill(0);
    this.#count = 0;
  }

  /** Outcomes `character`: of each whole window 1 where the right one is nearest. */
  followed(unitMs: number): Outcome[] {
    const { faces } = this.character;
    if (faces.length < 2) return [];
    return this.#windows.map((small, i) => {
      const errors = faces.map((face) => this.#difference(small, face));
      const said = errors.indexOf(Math.min(...errors));
      const unit = Math.floor((i * window * 1000) / unitMs);
      const value = said === 0 ? 1 : 0;
      return { measure: "character", unit, value, said: `${said}`, wanted: "0" };
    });
  }

  /** Root of the mean squared difference of the last 30 s from the first, in levels; null: it is too
   * short. */
  get drift(): number | null {
    const part = end / window;
    if (this.#windows.length < 2 * part) return null;
    const mean = (list: readonly Float64Array[]) =>
      Float64Array.from(
        { length: list[0]?.length ?? 0 },
        (_, i) => list.reduce((sum, one) => sum + (one[i] ?? 0), 0) / list.length,
      );
    const [first, last] = [this.#windows.slice(0, part), this.#windows.slice(-part)];
    return Math.sqrt(this.#difference(mean(last), mean(first)));
  }

  /** Mean squared difference over what is seen. */
  #difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
    let [sum, count] = [0, 0];
    this.#seen.forEach((seen, cell) => {
      for (let at = cell * 3; seen && at < cell * 3 + 3; at++, count++) {
        sum += ((a[at] ?? 0) - (b[at] ?? 0)) ** 2;
      }
    });
    return sum / count;
  }
}

/** Cells into which neither the mouth nor the eyes come. */
function seenCells({ size: [width, height], boxes }: TruthCharacter): boolean[] {
  const hidden = [boxes.mouth, boxes.eyes].map(([left, right, top, bottom]) => ({
    left: Math.floor((left * faceSize.width) / width),
    right: Math.ceil((right * faceSize.width) / width),
    top: Math.floor((top * faceSize.height) / height),
    bottom: Math.ceil((bottom * faceSize.height) / height),
  }));
  return Array.from({ length: faceSize.width * faceSize.height }, (_, cell) => {
    const [x, y] = [cell % faceSize.width, Math.floor(cell / faceSize.width)];
    return !hidden.some(({ left, right, top, bottom }) =>
      x >= left && x < right && y >= top && y < bottom
    );
  });
}

/** A picture [height, width, 3] in 48x27 cells, each the mean of what it covers. */
export function madeSmall(picture: ArrayLike<number>, width: number, height: number): Float64Array {
  const line = faceSize.width * 3;
  const across = new Float64Array(height * line);
  const small = new Float64Array(faceSize.height * line);
  const add = (to: Float64Array, at: number, value: number) => to[at] = (to[at] as number) + value;
  shares(width, faceSize.width).forEach(({ cell, pixel: x, part }) => {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < 3; c++) {
        add(across, y * line + cell * 3 + c, part * (picture[(y * width + x) * 3 + c] as number));
      }
    }
  });
  shares(height, faceSize.height).forEach(({ cell, pixel: y, part }) => {
    for (let i = 0; i < line; i++) {
      add(small, cell * line + i, part * (across[y * line + i] as number));
    }
  });
  return small;
}

/** Which pixels are in which cell, with their parts of it: those of a cell add up to 1. */
function shares(pixels: number, cells: number): { cell: number; pixel: number; part: number }[] {
  const wide = pixels / cells;
  return Array.from({ length: cells }, (_, cell) => {
    const [from, to] = [cell * wide, (cell + 1) * wide];
    const [first, last] = [Math.floor(from), Math.min(pixels, Math.ceil(to))];
    return Array.from({ length: last - first }, (_, i) => {
      const pixel = first + i;
      const part = Math.max(0, Math.min(to, pixel + 1) - Math.max(from, pixel)) / wide;
      return { cell, pixel, part };
    });
  }).flat();
}
