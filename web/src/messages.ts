/** What a worker and who started it say to each other. */

import type { ErrorCode } from "./errors.js";

export type Call = { id: number; method: string; given: unknown[] };

export type Request =
  | Call
  /** The call of this number is no longer wanted. */
  | { abort: number }
  /** Nothing is wanted any more. */
  | { close: true };

export type Failed = { code: ErrorCode; message: string };

export type Reply =
  | { id: number; result: unknown }
  | { id: number; progress: unknown }
  | { id: number; failed: Failed }
  /** Memory held by the GPU's buffers, or on the CPU by WebAssembly, in bytes: of buffers whenever it has changed, of WebAssembly after each call. */
  | { memory: number }
  /** The device was lost while nothing was being asked of it. */
  | { lost: string };

/** The worker's side. */
export interface WorkerPort {
  send(reply: Reply, transfer: ArrayBuffer[]): void;
  receive(handle: (request: Request) => void): void;
  /** Ends the worker. */
  close(): void;
}

/** The side of who started the worker. */
export interface StarterPort {
  send(request: Request): void;
  receive(handle: (reply: Reply) => void): void;
  /** When the worker breaks, or could not be loaded. */
  broken(handle: (why: string) => void): void;
  /** Whether a call is waiting, for where a worker must not keep a program alive that has nothing else to do. */
  waits(waiting: boolean): void;
  /** Ends the worker. */
  end(): void;
}
