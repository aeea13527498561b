/** What differs between a browser and Node.js: the entry of each says so once. */

import type { StarterPort } from "./messages.js";
import type { WorkerLike } from "./types.js";

export interface Platform {
  /** Starts the package's worker, or with this function another. */
  start(worker: (() => WorkerLike) | undefined): StarterPort;
  /** The absolute address of what a caller calls a URL. */
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
