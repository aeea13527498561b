/** The parts of a worker that depend on the browser. */

import { CmmError } from "../errors.js";
import type { Reply, Request, WorkerPort } from "../messages.js";
import type { Host, Store } from "./wasm.js";

/** The port to the program that started this worker. */
export const browserPort: WorkerPort = {
  send: (reply: Reply, transfer) => self.postMessage(reply, { transfer }),
  receive(handle) {
    self.onmessage = ({ data }: MessageEvent<Request>) => handle(data);
  },
  close: () => self.close(),
};

export const browser: Host = {
  async prepareGpu() {},

  async fetch(address, signal) {
    const response = await fetch(address, { signal }).catch(() => null);
    if (!response?.ok || !response.body) {
      throw new CmmError("download", response ? `the server answered ${response.status}` : "no connection");
    }
    return response.body as ReadableStream<Uint8Array<ArrayBuffer>>;
  },

  /** Opens the cache. A page that is not from a secure origin has none. */
  async store(cache = true) {
    if (cache === false || !("caches" in self)) return null;
    const name = cache === true ? "cmm-web" : cache;
    return caches.open(name).then((open) => stored(name, open), () => null);
  },
};

function stored(name: string, cache: Cache): Store {
  // The Cache API wants addresses, but nothing is ever fetched from these.
  const address = (key: string) => new URL(`/cmm-web/${key}`, self.origin).href;
  return {
    has: async (key) => !!(await cache.match(address(key))),
    get: async (key) => (await cache.match(address(key)))?.blob() ?? null,
    put: (key, content) => cache.put(address(key), new Response(content)),
    delete: async (key) => void (await cache.delete(address(key))),
    clear: async () => void (await caches.delete(name)),
  };
}
