/** The page's side of the worker. */

import type { Answer, Compared, CorpusSizes, Description, Race, Report, Sizes, Walk } from "./answers.js";
import type { Call, Failed, Reply, Stage, Wanted } from "./messages.js";

/** A call that failed; `kind` is one that `failure.ts` has words for. */
export class EngineError extends Error {
  constructor(
    readonly kind: string,
    message: string,
  ) {
    super(message);
  }
}

type Waiting = {
  resolve: (result: any) => void;
  reject: (error: Error) => void;
  progress: ((value: any) => void) | undefined;
};

export class Engine {
  private readonly worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;
  private closed = false;

  constructor(onMemory: (bytes: number) => void, onLost: (why: string) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if ("memory" in data) return onMemory(data.memory);
      if ("lost" in data) return onLost(data.lost);
      const waiting = this.waiting.get(data.id);
      if (!waiting) return;
      if ("progress" in data) return waiting.progress?.(data.progress);
      this.waiting.delete(data.id);
      if ("failed" in data) waiting.reject(error(data.failed));
      else waiting.resolve(data.result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.fail({ kind: "crash", message: event.message || "the worker could not be loaded" });
    };
  }

  /** Ends the worker, and with it all that it holds. */
  close(): void {
    this.closed = true;
    this.worker.terminate();
    this.fail(CLOSED);
  }

  private fail(failed: Failed): void {
    for (const { reject } of this.waiting.values()) reject(error(failed));
    this.waiting.clear();
  }

  private call<T>(method: string, given: unknown[] = [], progress?: (value: any) => void): Promise<T> {
    if (this.closed) return Promise.reject(error(CLOSED));
    const id = this.calls++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, progress });
      this.worker.postMessage({ id, method, arguments: given } satisfies Call);
    });
  }

  open = (wanted: Wanted) => this.call<Description>("open", [wanted]);
  cached = () => this.call<{ bytes: number; complete: boolean; wire: number }>("cached");
  clearCache = () => this.call<void>("clearCache");
  load = (progress: (stage: Stage) => void) => this.call<Sizes>("load", [], progress);
  index = (lines: readonly string[], progress: (done: number) => void) =>
    this.call<CorpusSizes>("index", [lines], progress);
  ask = (query: string, top: number) => this.call<Answer>("ask", [query, top]);
  embed = (texts: string[]) => this.call<number[][]>("embed", [texts]);
  walk = (text: string, layer: number) => this.call<Walk>("walk", [text, layer]);
  heat = (layer: number, lines: readonly string[]) => this.call<Uint32Array>("heat", [layer, lines]);
  race = (text: string, lines: readonly string[], layer: number, neurons: number, tokens: number) =>
    this.call<Race>("race", [text, lines, layer, neurons, tokens]);
  bench = (preset: string, progress: (report: Report) => void) => this.call<Report>("bench", [preset], progress);
  table = (report: string) => this.call<string[][]>("table", [report]);
  compare = (here: string, there: string) => this.call<Compared[]>("compare", [here, there]);
  compileKernels = (progress: (now: { done: number; all: number }) => void) =>
    this.call<number>("compileKernels", [], progress);
  lose = () => this.call<void>("lose");
}

/** Of calls to an engine that another has replaced: nothing to tell anybody. */
const CLOSED: Failed = { kind: "closed", message: "" };

const error = ({ kind, message }: Failed) => new EngineError(kind, message);
