/** The page's engine: the package's, with a corpus, and with what the page's own worker has beside it. */

import type { Answer, Compared, CorpusSizes, Race, Report, Sizes, Walk } from "./answers.js";
import {
  type Cached,
  CmmError,
  type Description,
  type Embeddings,
  Engine as Opened,
  type LoadProgress,
  nearest,
  type Wanted,
} from "./cmm-web/index.js";

const MODEL = { modelUrl: new URL("./model/", import.meta.url) };

interface Corpus extends CorpusSizes {
  texts: readonly string[];
  embeddings: Embeddings;
}

export class Engine {
  private readonly closed = new AbortController();
  private opened: Promise<Opened> = Promise.reject(new CmmError("input", "the engine is not open"));
  private sizes: Sizes | null = null;
  private corpus: Corpus | null = null;

  constructor(
    private readonly onMemory: (bytes: number) => void,
    private readonly onLost: (why: string) => void,
  ) {
    this.opened.catch(() => undefined);
  }

  async open(device: Wanted): Promise<Description> {
    const { onMemory, onLost } = this;
    const worker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.opened = Opened.open({ device, worker, onMemory, onLost, signal: this.closed.signal });
    return (await this.opened).description;
  }

  /** Ends the worker, and with it all that it holds. */
  close(): void {
    this.closed.abort();
    void this.opened.then((engine) => engine.dispose(), () => undefined);
  }

  private async call<T>(method: string, given: unknown[] = [], progress?: (value: any) => void): Promise<T> {
    return (await this.opened).call<T>(method, given, { progress });
  }

  cached = async (): Promise<Cached> => (await this.opened).cached(MODEL);
  clearCache = async () => (await this.opened).clearCache(MODEL);

  async load(onProgress: (now: LoadProgress) => void): Promise<Sizes> {
    const engine = await this.opened;
    await engine.load({ ...MODEL, onProgress });
    this.sizes = await engine.call<Sizes>("sizes");
    return this.sizes;
  }

  /** Makes these lines the corpus; `progress` is called with the lines done. */
  async index(texts: readonly string[], onProgress: (done: number) => void): Promise<CorpusSizes> {
    const start = performance.now();
    const embeddings = await this.embed(texts, { nodes: true, onProgress });
    const milliseconds = performance.now() - start;
    this.corpus = { texts, embeddings, lines: texts.length, tokens: sum(embeddings.nodes?.tokens ?? []), milliseconds };
    const { lines, tokens } = this.corpus;
    return { lines, tokens, milliseconds };
  }

  /** The lines of the corpus that are most like a query. */
  async ask(query: string, top: number): Promise<Answer> {
    if (!this.corpus) throw new CmmError("input", "there are no lines yet");
    const { texts, embeddings } = this.corpus;
    const start = performance.now();
    const { data, nodes } = await this.embed([query], { nodes: true });
    const found = nearest(data, embeddings, top);
    return {
      found: found.map(({ index, score }) => ({ line: index, text: texts[index] ?? "", similarity: score })),
      milliseconds: performance.now() - start,
      tokens: sum(nodes?.tokens ?? []),
      engaged: (nodes?.layers ?? []).map((layer) => [...new Set(layer)].sort((a, b) => a - b)),
    };
  }

  embed = async (...given: Parameters<Opened["embed"]>): Promise<Embeddings> => (await this.opened).embed(...given);

  /** How many of the corpus' tokens engaged each node of a layer's tree. Without a model: of these lines' words, in the seeded layer. */
  async heat(layer: number, lines: readonly string[]): Promise<Uint32Array> {
    if (!this.sizes) return this.call<Uint32Array>("heat", [lines]);
    const heat = new Uint32Array(this.sizes.neurons);
    for (const node of this.corpus?.embeddings.nodes?.layers[layer] ?? []) heat[node] = (heat[node] ?? 0) + 1;
    return heat;
  }

  walk = (text: string, layer: number) => this.call<Walk>("walk", [text, layer]);
  race = (text: string, lines: readonly string[], layer: number, neurons: number, tokens: number) =>
    this.call<Race>("race", [text, lines, layer, neurons, tokens]);
  bench = (preset: string, progress: (report: Report) => void) => this.call<Report>("bench", [preset], progress);
  table = (report: string) => this.call<string[][]>("table", [report]);
  compare = (here: string, there: string) => this.call<Compared[]>("compare", [here, there]);
  compileKernels = (progress: (now: { done: number; all: number }) => void) =>
    this.call<number>("compileKernels", [], progress);
  lose = async () => (await this.opened).lose();
}

const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
