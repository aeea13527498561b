/** Starts workers in Node.js. */

import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import { CmmError } from "./errors.js";
import type { StarterPort } from "./messages.js";
import type { Platform } from "./platform.js";

export const startInNode: Platform = {
  start(worker) {
    if (worker) throw new CmmError("input", "the option `worker` is for browsers");
    // Options such as --input-type are for the program, not for its threads.
    return port(new Worker(new URL("./worker/node-worker.js", import.meta.url), { execArgv: [] }));
  },
  address(url) {
    if (url instanceof URL) return url.href;
    if (existsSync(url)) return pathToFileURL(url).href;
    if (URL.canParse(url)) return url;
    throw new CmmError("input", `modelUrl must be a folder or an address; there is no folder ${url}`);
  },
};

function port(worker: Worker): StarterPort {
  let ending = false;
  worker.unref();
  return {
    send: (request) => worker.postMessage(request),
    receive: (handle) => void worker.on("message", handle),
    broken(handle) {
      worker.on("error", (error) => handle(error.message));
      worker.on("exit", (code) => handle(`the worker ended with exit code ${code}`));
    },
    waits(waiting) {
      if (ending) return;
      if (waiting) worker.ref();
      else worker.unref();
    },
    // This does not use force: a thread that is stopped while it waits for Dawn takes the process
    // with it. The process waits until the thread has ended.
    end() {
      ending = true;
      worker.ref();
      worker.postMessage({ close: true });
    },
  };
}
