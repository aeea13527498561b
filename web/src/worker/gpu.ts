/**
 * The GPU from outside of the engine. wgpu reports neither its name, nor how much its buffers hold,
 * nor, while idle, that the device is gone.
 */

/**
 * Returns a description of the adapter and whether it computes on the processor, or the reason why
 * there is none.
 */
export async function findAdapter(): Promise<
  { name: string; software: boolean } | { missing: "no-webgpu" | "no-adapter" }
> {
  if (!("gpu" in navigator) || !navigator.gpu) return { missing: "no-webgpu" };
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (!adapter) return { missing: "no-adapter" };
  const { vendor, architecture, description, device } = adapter.info;
  const words = [vendor, architecture, device, description].join(" ");
  const software = adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(words);
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "an adapter that hides its name";
  return { name: software ? `${name} (software)` : name, software };
}

export function watchGpu(memoryChanged: (bytes: number) => void, lost: (why: string) => void): void {
  let bytes = 0;
  let told = false;
  const alive = new WeakMap<GPUBuffer, number>();
  const change = (by: number) => {
    bytes += by;
    // Many buffers come and go in a call, and the change is reported once.
    if (told) return;
    told = true;
    setTimeout(() => ((told = false), memoryChanged(bytes)), 50);
  };

  const create = GPUDevice.prototype.createBuffer;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = create.call(this, descriptor);
    alive.set(buffer, descriptor.size);
    change(descriptor.size);
    return buffer;
  };

  const destroy = GPUBuffer.prototype.destroy;
  GPUBuffer.prototype.destroy = function () {
    change(-(alive.get(this) ?? 0));
    alive.delete(this);
    return destroy.call(this);
  };

  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await request.call(this, descriptor);
    void device.lost.then((info) => lost(info.message || info.reason));
    return device;
  };
}
