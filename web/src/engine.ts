/**
 * A worker with a device and the model on it. `FastMiniLM` is built on it; use it to open the
 * device before a model is needed.
 */

import { Calls, type CallOptions } from "./calls.js";
import { CmmError } from "./errors.js";
import { platform } from "./platform.js";
import type {
  Cached,
  Description,
  EmbedOptions,
  Embeddings,
  ModelLocation,
  ModelOptions,
  OpenOptions,
} from "./types.js";

const DEVICES = ["auto", "webgpu", "cpu"];

export class Engine {
  private constructor(
    private readonly calls: Calls,
    /** The device that the engine runs on. */
    readonly description: Description,
  ) {}

  /** Starts a worker and opens a device in it. */
  static async open({ device = "auto", worker, onLost, onMemory, signal }: OpenOptions = {}): Promise<Engine> {
    if (!DEVICES.includes(device)) throw new CmmError("input", `device must be ${DEVICES.join(", ")}; it is ${String(device)}`);
    const calls = new Calls(platform().start(worker), { memory: onMemory, lost: onLost });
    try {
      return new Engine(calls, await calls.call<Description>("open", [device], { signal }));
    } catch (error) {
      calls.end({ code: "disposed", message: "the engine did not open" });
      throw error;
    }
  }

  /** Puts a model on the device, in place of the current one. Returns its name. */
  async load({ precision = "f32", variant, onProgress, signal, ...location }: ModelOptions): Promise<string> {
    const given = [located(location), { precision, variant }];
    return this.calls.call<string>("load", given, { progress: onProgress, signal });
  }

  /** Returns unit vectors of texts. */
  async embed(texts: readonly string[], { kind = "text", nodes = false, onProgress, signal }: EmbedOptions = {}): Promise<Embeddings> {
    if (!Array.isArray(texts) || texts.some((text) => typeof text !== "string")) {
      throw new CmmError("input", "texts must be an array of strings");
    }
    if (nodes && kind !== "text") throw new CmmError("input", "nodes are available only for texts of the kind `text`");
    return this.calls.call<Embeddings>("embed", [texts, kind, nodes], { progress: onProgress, signal });
  }

  /** Returns how much of a model is in the cache. */
  async cached(location: ModelLocation): Promise<Cached> {
    return this.calls.call<Cached>("cached", [located(location)]);
  }

  /** Empties the cache of this model and of all others in it. */
  async clearCache(location: ModelLocation): Promise<void> {
    return this.calls.call<void>("clearCache", [located(location)]);
  }

  /** Calls a method that your own worker adds to the package's. */
  call<T>(method: string, given: unknown[] = [], options: CallOptions = {}): Promise<T> {
    return this.calls.call<T>(method, given, options);
  }

  /** Gives the device up as if it had been lost, so that the consequences can be tested. */
  async lose(): Promise<void> {
    return this.calls.call<void>("lose", []);
  }

  /** Ends the worker, and with it everything that it holds. */
  dispose(): void {
    this.calls.end({ code: "disposed", message: "the engine was disposed of" });
  }
}

/** Returns a location in a form that can be sent to a worker. */
function located({ modelUrl, cache, manifestSha256 }: ModelLocation) {
  if (manifestSha256 !== undefined && !/^[0-9a-f]{64}$/i.test(manifestSha256)) {
    throw new CmmError("input", "manifestSha256 must be 64 hexadecimal digits");
  }
  const address = platform().address(modelUrl);
  return { base: address.endsWith("/") ? address : `${address}/`, cache, manifestSha256: manifestSha256?.toLowerCase() };
}
