/** What callers give and get. */

/** Where the engine shall run. `auto`: on a GPU, or where there is none but in software, on the CPU. */
export type Wanted = "auto" | "webgpu" | "cpu";

/** Why it runs on the CPU. */
export type Because = "asked" | "no-webgpu" | "no-adapter" | "software" | "unsupported" | "refused";

/** What it runs on. */
export interface Description {
  device: "webgpu" | "cpu";
  /** Why it is the CPU; null on a GPU. */
  because: Because | null;
  /** The adapter in words; on the CPU those say so. */
  adapter: string;
  /** Whether the processor computes, as an adapter in software or as the CPU itself. */
  software: boolean;
  /** Optional features of WebGPU in use, by wgpu's names. */
  features: string[];
  /** Variants of the kernels that the device runs; none on the CPU. */
  variants: string[];
  /** Whether passes are timed on the GPU. */
  timestamps: boolean;
}

/** A worker, as far as it is needed. */
export interface WorkerLike {
  postMessage(message: any, transfer: any[]): void;
  terminate(): unknown;
  onmessage: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
}

export interface OpenOptions {
  /** `auto` if it is left out. */
  device?: Wanted | undefined;
  /** In browsers: starts a worker of your own in place of the package's, for example where a bundler or a content security policy wants it so. */
  worker?: (() => WorkerLike) | undefined;
  /** Called when the GPU is lost while nothing is asked of it. */
  onLost?: ((why: string) => void) | undefined;
  /** Called with the bytes that the GPU's buffers hold, or on the CPU WebAssembly, when they have changed. */
  onMemory?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Which model, and where it is kept. */
export interface ModelLocation {
  /** The folder that `cmm-web-pack` has written: an address, in browsers relative to the page; in Node.js also a path. */
  modelUrl: string | URL;
  /**
   * Where files are kept, packed. In browsers `true` (which is meant if it is left out) or a name: a cache of the Cache API. In Node.js a folder's
   * path; nowhere if it is left out. `false`: nowhere.
   */
  cache?: boolean | string | undefined;
  /** The SHA-256 of manifest.json in hexadecimal: with it, nothing but that very model is run. */
  manifestSha256?: string | undefined;
}

export interface ModelOptions extends ModelLocation {
  /** How matrices are stored on the device: `f32` if it is left out. `f16` takes half of a GPU's memory. */
  precision?: "f32" | "f16" | undefined;
  /** A certain variant of the kernels (`Description.variants`) in place of what suits the device. */
  variant?: string | undefined;
  onProgress?: ((progress: LoadProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface LoadOptions extends OpenOptions, ModelOptions {}

export type LoadProgress =
  /** Bytes over the wire; `total` is of all files. */
  | { stage: "download"; file: string; loaded: number; total: number; cached: boolean }
  | { stage: "check"; file: string }
  /** Weights go to the device, kernels are compiled. */
  | { stage: "upload" };

/** Which of a model's prompts texts get, where it has any. */
export type TextKind = "text" | "query" | "document";

export interface EmbedOptions {
  /** `text` if it is left out. */
  kind?: TextKind | undefined;
  /** Whether to tell which nodes the tokens engaged; only for `text`. */
  nodes?: boolean | undefined;
  /** Called with the number of texts that are done. */
  onProgress?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Unit vectors of texts, one after the other. */
export interface Embeddings {
  data: Float32Array;
  /** Texts, and values of each vector. */
  dims: [number, number];
  nodes?: EngagedNodes;
}

export interface EngagedNodes {
  /** Tokens of each text. */
  tokens: Uint32Array;
  /** For each FFF layer the nodes that the tokens of all texts engaged: `[tokens, trees, levels]`. */
  layers: Uint32Array[];
}

/** A document that was found. */
export interface Hit {
  /** Its place among the documents. */
  index: number;
  /** The cosine of its vector and the query's. */
  score: number;
}

export interface SearchOptions {
  /** How many documents to return: 10 if it is left out. */
  top?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** What of a model is in the cache. */
export interface Cached {
  /** Bytes that are there. */
  bytes: number;
  /** Bytes of all files over the wire. */
  wire: number;
  complete: boolean;
}
