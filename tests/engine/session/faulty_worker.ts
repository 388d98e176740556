/** A role's Worker that a test can break: it runs the engine's, and listens for one more message. */
import process from "node:process";
import { workerData } from "node:worker_threads";
import "../../../engine/roles/role_worker.ts";

const devices: GPUDevice[] = [];
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  devices.push(device);
  return device;
};

new BroadcastChannel("faults").onmessage = ({ data: { role, fault } }) => {
  if (workerData.name !== "fused" && workerData.name !== role) return;
  if (fault === "silence") process.exit();
  if (fault === "worker") Promise.reject(new Error("broken by a test"));
  if (fault === "device") { for (const device of devices) device.destroy(); }
};
