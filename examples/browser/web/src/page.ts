/** What the views share: the engine that is running now, and what is loaded on it. */

import type { CorpusSizes, Sizes } from "./answers.js";
import type { Engine } from "./engine.js";

export interface Page {
  engine: Engine;
  /** What the engine runs on, in a sentence's words. */
  device: "this GPU" | "this CPU" | "a GPU in software";
  model: Sizes | null;
  /** Lines to search in: the page's own, or the visitor's. */
  lines: readonly string[];
  indexed: CorpusSizes | null;
  /** Shows what went wrong; a view calls it with whatever a call of the engine threw. */
  failed(error: unknown): void;
  /** Makes these lines the corpus. */
  setLines(lines: readonly string[]): Promise<void>;
}

/** A view of the page. */
export interface View {
  /** Called when it comes into sight, and again whenever the engine, the model or the corpus has changed while it is. */
  show(): void;
}
