/**
 * How pictures look as a crowd beside the truth's: Frechet distance between two normal distributions
 * of features. The features are fixed and simple, so that every machine has the same: colours of
 * regions, and how much detail they hold.
 */
import { EigenvalueDecomposition, Matrix } from "npm:ml-matrix@6.15.1";

/** Regions across and down. */
const grid = 4;
const regions = grid * grid;

/** Luma, horizontal and vertical detail of 4 x 4 regions, and both colours of 2 x 2. */
export const features = 3 * regions + 2 * 4;

/**
 * Features of a frame, in levels (0 to 255): per region of a 4 x 4 grid the mean of luma and the mean
 * absolute differences between neighbours across and down; per quarter the means of blue and red
 * difference (BT.601).
 *
 * @param frame RGB24 [height, width, 3]
 */
export function pictureFeatures(frame: Uint8Array, width: number, height: number): Float64Array {
  const sums = new Float64Array(features);
  const counts = new Float64Array(features);
  const columns = Uint8Array.from({ length: width }, (_, x) => Math.floor((x * grid) / width));
  let above = new Float64Array(width);
  let row = new Float64Array(width);
  // One region's part of a row at a time: sums in locals, which is what makes it quick.
  for (let y = 0; y < height; y++) {
    const down = Math.floor((y * grid) / height);
    for (let x = 0; x < width;) {
      const across = columns[x] ?? 0;
      const first = x;
      let [light, beside, below, blue, red] = [0, 0, 0, 0, 0];
      for (let at = (y * width + x) * 3; x < width && columns[x] === across; x++, at += 3) {
        const r = frame[at] as number;
        const b = frame[at + 2] as number;
        const luma = 0.299 * r + 0.587 * (frame[at + 1] as number) + 0.114 * b;
        row[x] = luma;
        light += luma;
        if (x > 0) beside += Math.abs(luma - (row[x - 1] as number));
        below += Math.abs(luma - (above[x] as number));
        blue += b - luma;
        red += r - luma;
      }
      const region = down * grid + across;
      const quarter = 2 * Math.floor((2 * down) / grid) + Math.floor((2 * across) / grid);
      const add = (feature: number, sum: number, count: number) => {
        sums[feature] = (sums[feature] as number) + sum;
        counts[feature] = (counts[feature] as number) + count;
      };
      add(region, light, x - first);
      add(regions + region, beside, first > 0 ? x - first : x - first - 1);
      if (y > 0) add(2 * regions + region, below, x - first);
      add(3 * regions + quarter, 0.564 * blue, x - first);
      add(3 * regions + 4 + quarter, 0.713 * red, x - first);
    }
    [above, row] = [row, above];
  }
  return sums.map((sum, i) => sum / Math.max(1, counts[i] ?? 1));
}

/** Sums over many frames' features, from which mean and covariance follow; plain JSON. */
export interface Moments {
  count: number;
  /** [features] */
  sum: number[];
  /** Upper triangle of the sum of products, row by row. */
  products: number[];
}

export function noMoments(): Moments {
  const zeros = (length: number) => new Array<number>(length).fill(0);
  return { count: 0, sum: zeros(features), products: zeros((features * (features + 1)) / 2) };
}

export function addFeatures(moments: Moments, x: Float64Array): void {
  const { sum, products } = moments;
  moments.count++;
  for (let i = 0, at = 0; i < features; i++) {
    const a = x[i] ?? 0;
    sum[i] = (sum[i] ?? 0) + a;
    for (let j = i; j < features; j++, at++) products[at] = (products[at] ?? 0) + a * (x[j] ?? 0);
  }
}

/** The same as one list of numbers, which add up over several: count, sum, products. */
export const flatMoments = ({ count, sum, products }: Moments): number[] => [
  count,
  ...sum,
  ...products,
];

export function momentsOf([count = 0, ...rest]: Iterable<number>): Moments {
  return { count, sum: rest.slice(0, features), products: rest.slice(features) };
}

/** Squared Frechet distance of two normal distributions with these moments, in squared levels:
 * |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). NaN when one has fewer than two frames. */
export function frechetDistance(a: Moments, b: Moments): number {
  if (a.count < 2 || b.count < 2) return NaN;
  const [first, second] = [distribution(a), distribution(b)];
  const apart = first.mean.reduce((sum, m, i) => sum + (m - (second.mean[i] ?? 0)) ** 2, 0);
  // tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), whose argument is symmetric.
  const root = squareRoot(first.covariance);
  const product = root.mmul(second.covariance).mmul(root);
  const shared = eigenvalues(product).reduce((sum, value) => sum + Math.sqrt(value), 0);
  return Math.max(0, apart + first.covariance.trace() + second.covariance.trace() - 2 * shared);
}

function distribution({ count, sum, products }: Moments): { mean: number[]; covariance: Matrix } {
  const mean = sum.map((value) => value / count);
  const covariance = Matrix.zeros(features, features);
  for (let i = 0, at = 0; i < features; i++) {
    for (let j = i; j < features; j++, at++) {
      const value = (products[at] ?? 0) / count - (mean[i] ?? 0) * (mean[j] ?? 0);
      covariance.set(i, j, value);
      covariance.set(j, i, value);
    }
  }
  return { mean, covariance };
}

/** Rounding makes zeros slightly negative. */
const positive = (values: readonly number[]) => values.map((value) => Math.max(0, value));

function eigenvalues(symmetric: Matrix): number[] {
  return positive(
    new EigenvalueDecomposition(symmetric, { assumeSymmetric: true }).realEigenvalues,
  );
}

function squareRoot(symmetric: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(symmetric, {
    assumeSymmetric: true,
  });
  const roots = Matrix.diag(positive(realEigenvalues).map(Math.sqrt));
  return eigenvectorMatrix.mmul(roots).mmul(eigenvectorMatrix.transpose());
}
