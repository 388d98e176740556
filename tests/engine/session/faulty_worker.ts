/** A role's Worker that a test can break: it runs the engine's, and listens for one more message. */
import "../../../engine/roles/role_worker.ts";

const devices: GPUDevice[] = [];
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  devices.push(device);
  return device;
};

const scope = self as unknown as {
  onmessage: (event: MessageEvent) => void;
  close(): void;
};
const handle = scope.onmessage;
scope.onmessage = (event) => {
  const { breaks } = event.data;
  if (breaks === undefined) handle(event);
  else if (breaks === "silence") scope.close();
  else if (breaks === "device") { for (const device of devices) device.destroy(); }
  else Promise.reject(new Error("broken by a test"));
};
