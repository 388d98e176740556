/**
 * Whether a mouth moves with its voice: correlation of the mouth's opening, measured in the pictures,
 * with the loudness of each video frame.
 */

/** Left, right, top, bottom in pixels, right and bottom not included. */
export type Box = [left: number, right: number, top: number, bottom: number];

/** A character's mouth. */
export interface Mouth {
  /** Width and height of the picture that the box is about. */
  size: [number, number];
  boxes: { mouth: Box };
  /** A level of green between the skin's and the open mouth's, 0 to 255, and by how much the box's
   * pixels lie below it (the others: 0), on average, with the mouth closed and open. */
  mouth: { green: number; closed: number; open: number };
}

/** Where the drawn agent's mouth is, open or closed, swaying or nodding: parts of width and height
 * (scripts/world/draw.py). No hair, neck or cheek comes into it. */
const mouth = { left: 50 / 128, right: 78 / 128, top: 68 / 128, bottom: 92 / 128 };

/** Green of the drawn agent's skin; lips (62) and the open mouth (20) are far below. */
const skinGreen = 205;

/**
 * How open the agent's mouth is: the area that is darker in green than a level, weighted by how much
 * darker. Of a character that the record tells of, between that of its closed mouth (0) and of its open
 * one (1). Of world 1's agent, whose level is its skin's, as a part of the mouth's region. Blur leaves
 * both nearly as they are.
 *
 * @param frame RGB24 [height, width, 3]
 */
export function mouthOpening(
  frame: Uint8Array,
  width: number,
  height: number,
  character?: Mouth,
): number {
  const across = (part: number) => Math.round(part * width);
  const down = (part: number) => Math.round(part * height);
  /** Mean of max(0, level - green) over a part of the picture. */
  function depth(level: number, left: number, right: number, top: number, bottom: number): number {
    let sum = 0;
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        sum += Math.max(0, level - (frame[(row * width + column) * 3 + 1] as number));
      }
    }
    return sum / ((right - left) * (bottom - top));
  }
  if (character) {
    const { size: [w, h], boxes: { mouth: [left, right, top, bottom] } } = character;
    const { green, closed, open } = character.mouth;
    const now = depth(green, across(left / w), across(right / w), down(top / h), down(bottom / h));
    return (now - closed) / (open - closed);
  }
  const { left, right, top, bottom } = mouth;
  return depth(skinGreen, across(left), across(right), down(top), down(bottom)) / skinGreen;
}

/** Opening and loudness (RMS) of one stream, a number per video frame each. */
export interface LipSeries {
  opening: readonly number[];
  loudness: readonly number[];
}

/** The largest lag in frames, either way. */
export const maxLag = 15;

/** Sums over the frames of all series: frames, x, y, xx, yy, xy, with x = opening[t + lag] and
 * y = loudness[t]. Sums of several recordings add up. */
export function lipSums(series: readonly LipSeries[], lag: number): number[] {
  let [n, x, y, xx, yy, xy] = [0, 0, 0, 0, 0, 0];
  for (const { opening, loudness } of series) {
    for (let t = Math.max(0, -lag); t < Math.min(opening.length, opening.length - lag); t++) {
      const [a, b] = [opening[t + lag] ?? 0, loudness[t] ?? 0];
      n++;
      x += a;
      y += b;
      xx += a * a;
      yy += b * b;
      xy += a * b;
    }
  }
  return [n, x, y, xx, yy, xy];
}

/** The sums at each lag from -maxLag to maxLag, one after the other; positive lags: the mouth is late. */
export function sumsPerLag(series: readonly LipSeries[]): number[] {
  return Array.from({ length: 2 * maxLag + 1 }, (_, i) => lipSums(series, i - maxLag)).flat();
}

/** Pearson's correlation that follows from these sums; NaN where one of the two never moves. */
export function correlationOf(sums: ArrayLike<number>): number {
  const [n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0] = Array.from(sums);
  const [a, b] = [n * xx - x * x, n * yy - y * y];
  // What is still is so only up to rounding.
  const moves = a > 1e-9 * n * xx && b > 1e-9 * n * yy;
  return moves ? (n * xy - x * y) / Math.sqrt(a * b) : NaN;
}

/** The lag at which the correlation is highest; NaN when there is none. */
export function bestLag(correlations: readonly number[]): number {
  const best = Math.max(...correlations.filter((value) => !Number.isNaN(value)));
  const at = correlations.indexOf(best);
  return at < 0 ? NaN : at - maxLag;
}
