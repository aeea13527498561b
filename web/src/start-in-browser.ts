/** Starts workers in a browser. */

import type { Reply, StarterPort } from "./messages.js";
import type { Platform } from "./platform.js";
import type { WorkerLike } from "./types.js";

export const startInBrowser: Platform = {
  start: (worker) => port(worker ? worker() : packaged()),
  address: (url) => new URL(url, globalThis.document?.baseURI ?? location.href).href,
};

/** Starts the package's own worker. */
function packaged(): WorkerLike {
  const here = import.meta.url;
  if (new URL(here).origin === location.origin) {
    // Bundlers recognise a worker by exactly this expression.
    return new Worker(new URL("./worker/browser-worker.js", import.meta.url), { type: "module" });
  }
  // A worker's program must be from the page's own origin, but its imports need not be.
  const program = `import ${JSON.stringify(new URL("worker/browser-worker.js", here).href)};`;
  const address = URL.createObjectURL(new Blob([program], { type: "text/javascript" }));
  return new Worker(address, { type: "module" });
}

function port(worker: WorkerLike): StarterPort {
  return {
    send: (request) => worker.postMessage(request, []),
    receive(handle) {
      worker.onmessage = ({ data }: MessageEvent<Reply>) => handle(data);
    },
    broken(handle) {
      worker.onerror = (event: ErrorEvent) => {
        event.preventDefault?.();
        handle(event.message || "the worker could not be loaded");
      };
    },
    waits() {},
    end: () => void worker.terminate(),
  };
}
