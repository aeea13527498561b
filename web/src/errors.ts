/** What can go wrong, as errors that a program can tell apart. */

const CODES = [
  /** There is no WebGPU: an old browser, a page that is not from a secure origin, or Node.js without the package `webgpu`. */
  "no-webgpu",
  /** WebGPU is there, and found no GPU. */
  "no-adapter",
  /** The GPU lacks something that the kernels need. */
  "unsupported",
  /** The GPU was taken away; `recover()` takes it again. */
  "device-lost",
  /** The GPU, or WebAssembly, has too little memory. */
  "out-of-memory",
  /** Any other error of the GPU. */
  "gpu",
  /** A file did not arrive. */
  "download",
  /** A file or the manifest is not what its checksum says, or longer than it may be. */
  "integrity",
  /** The files are what was meant, and no model that this engine can run. */
  "model",
  /** An argument is not usable. */
  "input",
  /** The call's `signal` was aborted. */
  "aborted",
  /** The model or engine was disposed of. */
  "disposed",
  /** The worker stopped: a fault of this package. `recover()` starts another. */
  "crashed",
] as const;

export type ErrorCode = (typeof CODES)[number];

export const isCode = (name: unknown): name is ErrorCode => (CODES as readonly unknown[]).includes(name);

/** Every error of this package: `code` for programs, `message` for people. */
export class CmmError extends Error {
  override readonly name = "CmmError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}
