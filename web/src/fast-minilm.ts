/** A sentence encoder, ready to use. */

import { Engine } from "./engine.js";
import { CmmError } from "./errors.js";
import { cosine, nearest, vector } from "./nearest.js";
import type { Description, EmbedOptions, Embeddings, Hit, LoadOptions, SearchOptions } from "./types.js";

export class FastMiniLM {
  private disposed = false;

  private constructor(
    private readonly options: LoadOptions,
    private engine: Promise<Engine>,
    private described: Description,
  ) {}

  /** Opens a device, fetches the model, and puts it on the device. */
  static async load(options: LoadOptions): Promise<FastMiniLM> {
    if (!options?.modelUrl) throw new CmmError("input", "modelUrl must say where the model is");
    const engine = await open(options, options.signal);
    return new FastMiniLM(options, Promise.resolve(engine), engine.description);
  }

  /** The device that the model runs on. */
  get description(): Description {
    return this.described;
  }

  /** Returns unit vectors of texts. Calls may overlap: they run one after the other. */
  async embed(texts: readonly string[], options?: EmbedOptions): Promise<Embeddings> {
    return (await this.engine).embed(texts, options);
  }

  /** Returns the cosine of two texts' vectors. */
  async similarity(a: string, b: string, options?: { signal?: AbortSignal }): Promise<number> {
    const both = await this.embed([a, b], options);
    return cosine(vector(both, 0), vector(both, 1));
  }

  /**
   * Returns the documents that are nearest to a query, best first. Documents may be texts, or their
   * vectors from `embed(texts, { kind: "document" })`.
   */
  async search(query: string, documents: readonly string[] | Embeddings, { top, signal }: SearchOptions = {}): Promise<Hit[]> {
    const corpus = "data" in documents ? documents : await this.embed(documents, { kind: "document", signal });
    const { data } = await this.embed([query], { kind: "query", signal });
    return nearest(data, corpus, top);
  }

  /**
   * Starts again with the same options, after the device was lost or the worker stopped. Calls made
   * meanwhile wait for it.
   */
  async recover(options?: { signal?: AbortSignal }): Promise<void> {
    if (this.disposed) throw gone();
    const old = this.engine;
    const reopened = (async () => {
      await old.then((engine) => engine.dispose(), () => undefined);
      const engine = await open(this.options, options?.signal);
      if (this.disposed) {
        engine.dispose();
        throw gone();
      }
      this.described = engine.description;
      return engine;
    })();
    // If it failed, the next call reports that.
    reopened.catch(() => undefined);
    this.engine = reopened;
    await reopened;
  }

  /** Ends the worker, and with it everything that it holds. Waiting calls fail with `disposed`. */
  dispose(): void {
    this.disposed = true;
    const old = this.engine;
    void old.then((engine) => engine.dispose(), () => undefined);
    this.engine = Promise.reject(gone());
    this.engine.catch(() => undefined);
  }
}

const gone = () => new CmmError("disposed", "the model was disposed of");

/** Opens a device and puts the model on it. */
async function open(options: LoadOptions, signal: AbortSignal | undefined): Promise<Engine> {
  const engine = await Engine.open({ ...options, signal });
  try {
    await engine.load({ ...options, signal });
    return engine;
  } catch (error) {
    engine.dispose();
    throw error;
  }
}
