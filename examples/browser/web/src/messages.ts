/** What the page and its worker say to each other. */

/** Where the engine shall run. `auto`: on a GPU, or where there is none but in software, on the CPU. */
export type Wanted = "auto" | "webgpu" | "cpu";

/** Why it runs on the CPU. */
export type Because = "asked" | "no-webgpu" | "no-adapter" | "software" | "unsupported" | "refused";

export type Call = { id: number; method: string; arguments: unknown[] };

/** `kind` is the engine's, or the worker's own: `no-webgpu`, `no-adapter`, `download`, `corrupt`, `crash`. */
export type Failed = { kind: string; message: string };

export type Reply =
  | { id: number; result: unknown }
  | { id: number; progress: unknown }
  | { id: number; failed: Failed }
  /** Memory held by the GPU's buffers, or on the CPU by WebAssembly, in bytes: of buffers whenever it has changed, of WebAssembly after each call. */
  | { memory: number }
  /** The device was lost while nothing was being asked of it. */
  | { lost: string };

export type Stage =
  | { stage: "download"; file: string; loaded: number; total: number; cached: boolean }
  | { stage: "check"; file: string }
  | { stage: "upload" };
