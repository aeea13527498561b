/** The differences between a browser and Node.js. The entry of each sets them once. */

import type { StarterPort } from "./messages.js";
import type { WorkerLike } from "./types.js";

export interface Platform {
  /** Starts the package's worker, or the one that this function creates. */
  start(worker: (() => WorkerLike) | undefined): StarterPort;
  /** Returns the absolute address of a caller's URL. */
  address(url: string | URL): string;
}

let here: Platform | undefined;

export function setPlatform(platform: Platform): void {
  here = platform;
}

export function platform(): Platform {
  if (!here) throw new Error("cmm-web is entered by its index");
  return here;
}
