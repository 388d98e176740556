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
  /** Mean colours of the box with the mouth closed and open, RGB. */
  mouth: { closed: number[]; open: number[] };
}

/** Where the drawn agent's mouth is, open or closed, swaying or nodding: parts of width and height
 * (scripts/world/draw.py). No hair, neck or cheek comes into it. */
const mouth = { left: 50 / 128, right: 78 / 128, top: 68 / 128, bottom: 92 / 128 };

/** Green of the drawn agent's skin; lips (62) and the open mouth (20) are far below. */
const skinGreen = 205;

/**
 * How open the agent's mouth is. Of a character that the record tells of: where the mean colour of the
 * mouth's box lies between those with the mouth closed (0) and open (1). Of world 1's agent: the area
 * that is darker in green than its skin, weighted by how much darker, as a part of the mouth's region.
 * Blur leaves both nearly as they are.
 *
 * @param frame RGB24 [height, width, 3]
 */
export function mouthOpening(
  frame: Uint8Array,
  width: number,
  height: number,
  character?: Mouth,
): number {
  if (character) return openingOf(frame, width, height, character);
  const [left, right] = [Math.round(mouth.left * width), Math.round(mouth.right * width)];
  const [top, bottom] = [Math.round(mouth.top * height), Math.round(mouth.bottom * height)];
  let dark = 0;
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      dark += Math.max(0, skinGreen - (frame[(row * width + column) * 3 + 1] as number));
    }
  }
  return dark / (skinGreen * (right - left) * (bottom - top));
}

function openingOf(
  frame: Uint8Array,
  width: number,
  height: number,
  { size, boxes, mouth }: Mouth,
): number {
  const across = (x: number) => Math.round((x * width) / size[0]);
  const down = (y: number) => Math.round((y * height) / size[1]);
  const [left, right, top, bottom] = boxes.mouth;
  const sums = [0, 0, 0];
  for (let row = down(top); row < down(bottom); row++) {
    for (let at = (row * width + across(left)) * 3; at < (row * width + across(right)) * 3; at++) {
      sums[at % 3] = (sums[at % 3] as number) + (frame[at] as number);
    }
  }
  const count = (across(right) - across(left)) * (down(bottom) - down(top));
  let [along, length] = [0, 0];
  mouth.closed.forEach((closed, i) => {
    const opens = (mouth.open[i] ?? 0) - closed;
    along += opens * ((sums[i] ?? 0) / count - closed);
    length += opens ** 2;
  });
  return along / length;
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
