/** The page's engine: the package's, with a corpus, and with what the page's own worker has beside it. */

import type { Answer, Compared, CorpusSizes, Found, Race, Report, Sizes, Walk } from "./answers.js";
import type { Passage } from "./corpus.js";
import { corpus, examples } from "./corpus.js";
import {
  type Cached,
  CmmError,
  type Description,
  type Embeddings,
  Engine as Opened,
  type LoadProgress,
  type ModelLocation,
  nearest,
  type Wanted,
} from "./cmm-web/index.js";
import { shipped, type Vectors } from "./shipped.js";

/** The packed model, and where its files are kept. */
const modelUrl = new URL("./model/", import.meta.url);

interface Corpus extends CorpusSizes {
  searched: readonly Passage[];
  embeddings: Embeddings;
  /** How many of its tokens engaged each node of a layer's tree. */
  heat(layer: number): Uint32Array;
}

export class Engine {
  private readonly closed = new AbortController();
  private opened: Promise<Opened> = Promise.reject(new CmmError("input", "the engine is not open"));
  private sizes: Sizes | null = null;
  private readonly shipped: Promise<Vectors | null> = shipped();
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

  /** Where the model is: that one alone whose vectors came with the page, if they did. */
  private location = async (): Promise<ModelLocation> => ({ modelUrl, manifestSha256: (await this.shipped)?.manifestSha256 });

  cached = async (): Promise<Cached> => (await this.opened).cached(await this.location());
  clearCache = async () => (await this.opened).clearCache(await this.location());

  async load(onProgress: (now: LoadProgress) => void): Promise<Sizes> {
    const engine = await this.opened;
    await engine.load({ ...(await this.location()), onProgress });
    this.sizes = await engine.call<Sizes>("sizes");
    return this.sizes;
  }

  /** Makes these the corpus, unless `signal` is aborted before; `onProgress` is called with the passages done. */
  async index(searched: readonly Passage[], onProgress: (done: number) => void, signal: AbortSignal): Promise<CorpusSizes> {
    const found = searched === corpus ? await this.shipped : null;
    const made = found ? whole(found) : await this.embedded(searched, onProgress, signal);
    if (signal.aborted) throw new CmmError("aborted", "another text is searched instead");
    this.corpus = made;
    const { passages, tokens, milliseconds } = made;
    return { passages, tokens, milliseconds };
  }

  private async embedded(searched: readonly Passage[], onProgress: (done: number) => void, signal: AbortSignal): Promise<Corpus> {
    const start = performance.now();
    const embeddings = await this.embed(searched.map(({ text }) => text), { nodes: true, onProgress, signal });
    const neurons = this.sizes?.neurons ?? 0;
    const heat = (layer: number) => {
      const heat = new Uint32Array(neurons);
      for (const node of embeddings.nodes?.layers[layer] ?? []) heat[node] = (heat[node] ?? 0) + 1;
      return heat;
    };
    const tokens = sum(embeddings.nodes?.tokens ?? []);
    return { searched, embeddings, heat, passages: searched.length, tokens, milliseconds: performance.now() - start };
  }

  /** The passages of the corpus that are most like a query. */
  async ask(query: string, top: number): Promise<Answer> {
    const { corpus } = this;
    if (!corpus) throw new CmmError("input", "there is nothing to search in yet");
    const start = performance.now();
    const { data, nodes } = await this.embed([query], { nodes: true });
    return {
      found: ranked(data, corpus, top),
      milliseconds: performance.now() - start,
      tokens: sum(nodes?.tokens ?? []),
      engaged: (nodes?.layers ?? []).map((layer) => [...new Set(layer)].sort((a, b) => a - b)),
    };
  }

  /** The answer to one of the page's own questions, from the vectors that came with it: without a model. */
  async askShipped(query: string, top: number): Promise<Answer | null> {
    const found = await this.shipped;
    const question = found?.questions[examples.indexOf(query)];
    if (!found || !question) return null;
    const vector = found.examples.subarray(examples.indexOf(query) * found.width).subarray(0, found.width);
    return { found: ranked(vector, whole(found), top), milliseconds: null, ...question };
  }

  embed = async (...given: Parameters<Opened["embed"]>): Promise<Embeddings> => (await this.opened).embed(...given);

  /** How many of the corpus' tokens engaged each node of a layer's tree. Without a model: of these passages' words, in the seeded layer. */
  async heat(layer: number, passages: readonly Passage[]): Promise<Uint32Array> {
    if (!this.sizes || !this.corpus) return this.call<Uint32Array>("heat", [passages.map(({ text }) => text)]);
    return this.corpus.heat(layer);
  }

  walk = (text: string, layer: number) => this.call<Walk>("walk", [text, layer]);
  /** Each lane is measured for about so many seconds. */
  race = (text: string, passages: readonly Passage[], layer: number, neurons: number, tokens: number, seconds: number) =>
    this.call<Race>("race", [text, passages.map(({ text }) => text), layer, neurons, tokens, seconds]);
  bench = (preset: string, progress: (report: Report) => void) => this.call<Report>("bench", [preset], progress);
  table = (report: string) => this.call<string[][]>("table", [report]);
  compare = (here: string, there: string) => this.call<Compared[]>("compare", [here, there]);
  compileKernels = (progress: (now: { done: number; all: number }) => void) =>
    this.call<number>("compileKernels", [], progress);
  lose = async () => (await this.opened).lose();
}

/** The corpus as it came with the page. */
function whole({ corpus: data, width, tokens, heat }: Vectors): Corpus {
  const embeddings: Embeddings = { data, dims: [corpus.length, width] };
  const heatOf = (layer: number) => Uint32Array.from(heat[layer] ?? []);
  return { searched: corpus, embeddings, heat: heatOf, passages: corpus.length, tokens, milliseconds: null };
}

function ranked(vector: Float32Array, { searched, embeddings }: Corpus, top: number): Found[] {
  return nearest(vector, embeddings, top).map(({ index, score }) => {
    const { text = "", place } = searched[index] ?? {};
    return { text, place, similarity: score };
  });
}

const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
