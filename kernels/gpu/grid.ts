/** Workgroup counts. */
import type { Gpu } from "./device.ts";

/** A grid of workgroups for `items` invocations in a row: one-dimensional while that fits, else with
 * y rows, so that a kernel's item is id.y * num_workgroups.x * size + id.x. */
export function dispatchGrid(gpu: Gpu, items: number, size: number): [number, number, number] {
  const groups = Math.ceil(items / size);
  const limit = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(groups / limit);
  return [Math.ceil(groups / y), y, 1];
}
