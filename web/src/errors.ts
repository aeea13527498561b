/** The errors of this package, which a program can tell apart by their codes. */

const CODES = [
  /**
   * There is no WebGPU: the browser is old, the page is not from a secure origin, or Node.js lacks
   * the package `webgpu`.
   */
  "no-webgpu",
  /** WebGPU exists but found no GPU. */
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
  /** A file or the manifest does not match its checksum, or is longer than it may be. */
  "integrity",
  /** The files are the right ones, but they are not a model that this engine can run. */
  "model",
  /** An argument is not usable. */
  "input",
  /** The call's `signal` was aborted. */
  "aborted",
  /** The model or engine was disposed of. */
  "disposed",
  /** The worker stopped because of a fault in this package. `recover()` starts another one. */
  "crashed",
] as const;

export type ErrorCode = (typeof CODES)[number];

export const isCode = (name: unknown): name is ErrorCode => (CODES as readonly unknown[]).includes(name);

/** Every error of this package: `code` is for programs, `message` for people. */
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
