/** A straight line through points, by least squares. */
export interface Line {
  slope: number;
  intercept: number;
  /** Part of the variance that the line explains, 0 to 1; NaN when there is none to explain. */
  r2: number;
}

/** Fits a line; NaN of fewer than two different x. */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): Line {
  const count = points.length;
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / count;
  const [mx, my] = [mean(0), mean(1)];
  let [xx, xy, yy] = [0, 0, 0];
  for (const [x, y] of points) {
    xx += (x - mx) ** 2;
    xy += (x - mx) * (y - my);
    yy += (y - my) ** 2;
  }
  const slope = xx > 0 ? xy / xx : NaN;
  return { slope, intercept: my - slope * mx, r2: xx > 0 && yy > 0 ? (xy * xy) / (xx * yy) : NaN };
}
