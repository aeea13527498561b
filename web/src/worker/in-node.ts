/** The parts of a worker that depend on Node.js. */

import { createReadStream } from "node:fs";
import { access, mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { parentPort } from "node:worker_threads";
import { CmmError } from "../errors.js";
import type { Request, WorkerPort } from "../messages.js";
import { browser } from "./in-browser.js";
import type { Host, Store } from "./wasm.js";

/** The port to the program that started this worker. */
export const nodePort: WorkerPort = {
  send: (reply, transfer) => parentPort?.postMessage(reply, transfer),
  receive: (handle) => void parentPort?.on("message", (request: Request) => handle(request)),
  close: () => process.exit(0),
};

export const node: Host = {
  /**
   * Puts Dawn, if the package `webgpu` is installed, in the places where a browser has WebGPU. They
   * belong to this worker alone.
   */
  async prepareGpu() {
    const dawn = await import("webgpu").catch(() => null);
    const gpu = dawn?.create([]);
    if (dawn) Object.assign(globalThis, dawn.globals);
    const navigator = { gpu, userAgent: `Node.js ${process.version}` };
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
    // wgpu recognises by this that it runs in a worker.
    Object.assign(globalThis, { WorkerGlobalScope: class {} });
  },

  async fetch(address, signal) {
    if (!address.startsWith("file:")) return browser.fetch(address, signal);
    const path = fileURLToPath(address);
    await access(path).catch(() => {
      throw new CmmError("download", `there is no file ${path}`);
    });
    return Readable.toWeb(createReadStream(path, { signal })) as ReadableStream<Uint8Array<ArrayBuffer>>;
  },

  async store(cache = false) {
    if (cache === false) return null;
    if (cache === true) throw new CmmError("input", "in Node.js `cache` is a folder's path");
    await mkdir(cache, { recursive: true }).catch((error) => {
      throw new CmmError("input", `the cache ${cache} cannot be made: ${error.message}`);
    });
    return folder(cache);
  },
};

/** Stores files in a folder by their checksums. A name appears only when its file is whole. */
function folder(cache: string): Store {
  const path = (key: string) => join(cache, key);
  return {
    has: (key) => access(path(key)).then(() => true, () => false),
    get: (key) => readFile(path(key)).then((content) => new Blob([content]), () => null),
    async put(key, content) {
      const part = `${path(key)}.${process.pid}.part`;
      const file = await open(part, "w");
      try {
        await file.writeFile(new Uint8Array(await content.arrayBuffer()));
      } finally {
        await file.close();
      }
      await rename(part, path(key));
    },
    delete: (key) => rm(path(key), { force: true }),
    async clear() {
      const names = (await readdir(cache)).filter((name) => /^[0-9a-f]{64}$/.test(name));
      await Promise.all(names.map((name) => rm(join(cache, name), { force: true })));
    },
  };
}
