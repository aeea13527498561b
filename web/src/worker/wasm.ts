/**
 * The engine in the form that its glue offers: the package's own, or that of a program with more
 * methods.
 */

export interface WasmEngine {
  describe(): string;
  load(files: Map<string, Uint8Array>, precision: string, variant: string | undefined, keep: boolean): Promise<void>;
  width(): number;
  embed(texts: string[], kind: string): Promise<Float32Array>;
  embed_with_nodes(texts: string[]): Promise<any[]>;
  lose(): void;
  free(): void;
}

export interface Wasm<E extends WasmEngine> {
  initialise(): Promise<{ memory: WebAssembly.Memory }>;
  Engine: { on_gpu(): Promise<E>; on_cpu(): E };
  sha256(bytes: Uint8Array): string;
}

/** The parts of a worker that depend on the browser or on Node.js. */
export interface Host {
  /** Makes WebGPU available to the engine, if there is any. */
  prepareGpu(): Promise<void>;
  /** Returns a file of a model's folder as a stream. */
  fetch(address: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** Returns the place where files are kept; null if nothing is kept. */
  store(cache: boolean | string | undefined): Promise<Store | null>;
}

/** A place where files are kept by their checksums. */
export interface Store {
  has(key: string): Promise<boolean>;
  get(key: string): Promise<Blob | null>;
  put(key: string, content: Blob): Promise<void>;
  delete(key: string): Promise<void>;
  clear(): Promise<void>;
}
