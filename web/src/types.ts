/** The types of arguments and results. */

/**
 * The device that the engine shall use. `auto` is a GPU, or the CPU if every adapter is a software
 * one.
 */
export type Wanted = "auto" | "webgpu" | "cpu";

/** The reason for running on the CPU. */
export type Because = "asked" | "no-webgpu" | "no-adapter" | "software" | "unsupported" | "refused";

/** The device that the engine runs on. */
export interface Description {
  device: "webgpu" | "cpu";
  /** The reason for running on the CPU; null on a GPU. */
  because: Because | null;
  /** A description of the adapter; on the CPU it says so. */
  adapter: string;
  /** Whether the processor computes, as a software adapter or as the CPU itself. */
  software: boolean;
  /** The optional features of WebGPU in use, by wgpu's names. */
  features: string[];
  /** The variants of the kernels that the device can run; empty on the CPU. */
  variants: string[];
  /** Whether passes are timed on the GPU. */
  timestamps: boolean;
}

/** The part of a worker that the package needs. */
export interface WorkerLike {
  postMessage(message: any, transfer: any[]): void;
  terminate(): unknown;
  onmessage: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
}

export interface OpenOptions {
  /** The default is `auto`. */
  device?: Wanted | undefined;
  /**
   * In browsers: starts your own worker in place of the package's, for example if a bundler or a
   * content security policy needs that.
   */
  worker?: (() => WorkerLike) | undefined;
  /** Called when the GPU is lost while no call is running. */
  onLost?: ((why: string) => void) | undefined;
  /**
   * Called when memory has changed, with the bytes of the GPU's buffers, or on the CPU with those
   * of WebAssembly.
   */
  onMemory?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** The model, and the place where it is kept. */
export interface ModelLocation {
  /**
   * The folder that `cmm-web-pack` has written: an address, in browsers relative to the page. In
   * Node.js it may be a path.
   */
  modelUrl: string | URL;
  /**
   * The place where files are kept, packed. In browsers `true` or a name stands for a cache of the
   * Cache API; the default is `true`. In Node.js it is a folder's path; by default nothing is kept.
   * `false` keeps nothing.
   */
  cache?: boolean | string | undefined;
  /** The SHA-256 of manifest.json in hexadecimal. With it, only exactly this model is run. */
  manifestSha256?: string | undefined;
}

export interface ModelOptions extends ModelLocation {
  /**
   * The precision in which matrices are stored on the device. The default is `f32`; `f16` takes
   * half of a GPU's memory.
   */
  precision?: "f32" | "f16" | undefined;
  /**
   * A certain variant of the kernels (`Description.variants`) in place of the one that suits the
   * device.
   */
  variant?: string | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface LoadOptions extends OpenOptions, ModelOptions {}

export type LoadProgress =
  /** Bytes over the wire; `total` is the sum of all files. */
  | { stage: "download"; file: string; loaded: number; total: number; cached: boolean }
  | { stage: "check"; file: string }
  /** Weights are uploaded to the device, and kernels are compiled. */
  | { stage: "upload" };

/** The kind of a text, which decides which of the model's prompts it gets, if the model has any. */
export type TextKind = "text" | "query" | "document";

export interface EmbedOptions {
  /** The default is `text`. */
  kind?: TextKind | undefined;
  /** Whether to return the nodes that the tokens engaged; only for `text`. */
  nodes?: boolean | undefined;
  /** Called with the number of finished texts. */
  onProgress?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Unit vectors of texts, one after the other. */
export interface Embeddings {
  data: Float32Array;
  /** The number of texts, and the number of values of each vector. */
  dims: [number, number];
  nodes?: EngagedNodes;
}

export interface EngagedNodes {
  /** The number of tokens of each text. */
  tokens: Uint32Array;
  /**
   * For each FFF layer, the nodes that the tokens of all texts engaged: `[tokens, trees, levels]`.
   */
  layers: Uint32Array[];
}

/** A document that a search found. */
export interface Hit {
  /** Its place among the documents. */
  index: number;
  /** The cosine of its vector and the query's. */
  score: number;
}

export interface SearchOptions {
  /** The number of documents to return. The default is 10. */
  top?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** How much of a model is in the cache. */
export interface Cached {
  /** The bytes that are in the cache. */
  bytes: number;
  /** The bytes of all files over the wire. */
  wire: number;
  complete: boolean;
}
