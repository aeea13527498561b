/** The messages between a worker and the program that started it. */

import type { ErrorCode } from "./errors.js";

export type Call = { id: number; method: string; given: unknown[] };

export type Request =
  | Call
  /** The call with this number is no longer wanted. */
  | { abort: number }
  /** No further calls are wanted. */
  | { close: true };

export type Failed = { code: ErrorCode; message: string };

export type Reply =
  | { id: number; result: unknown }
  | { id: number; progress: unknown }
  | { id: number; failed: Failed }
  /**
   * The bytes that the GPU's buffers hold, sent when they have changed, or on the CPU the bytes of
   * WebAssembly's memory, sent after each call.
   */
  | { memory: number }
  /** The device was lost while no call was running. */
  | { lost: string };

/** The worker's side. */
export interface WorkerPort {
  send(reply: Reply, transfer: ArrayBuffer[]): void;
  receive(handle: (request: Request) => void): void;
  /** Ends the worker. */
  close(): void;
}

/** The side of the program that started the worker. */
export interface StarterPort {
  send(request: Request): void;
  receive(handle: (reply: Reply) => void): void;
  /** Sets the function to call if the worker breaks or cannot be loaded. */
  broken(handle: (why: string) => void): void;
  /**
   * Says whether a call is waiting. A worker must not keep a program alive that has nothing else to
   * do.
   */
  waits(waiting: boolean): void;
  /** Ends the worker. */
  end(): void;
}
