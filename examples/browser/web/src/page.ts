/** What the views share: the engine that is running now, and what is loaded on it. */

import type { CorpusSizes, Sizes } from "./answers.js";
import type { Passage } from "./corpus.js";
import type { Engine } from "./engine.js";

export interface Page {
  engine: Engine;
  /** What the engine runs on, in a sentence's words. */
  device: "this GPU" | "this CPU" | "a GPU in software";
  /** Whether the processor computes, as itself or in place of a GPU: times then say little about GPUs. */
  software: boolean;
  model: Sizes | null;
  /** What is searched: the page's own, or the visitor's. */
  passages: readonly Passage[];
  indexed: CorpusSizes | null;
  /** Shows what went wrong; a view calls it with whatever a call of the engine threw. */
  failed(error: unknown): void;
  /** Makes these the corpus. */
  setPassages(passages: readonly Passage[]): Promise<void>;
  /** Fetches the model, and puts it on the device. */
  loadModel(): Promise<void>;
  /** Notes in the address what a view shows. */
  changed(): void;
}

/** A view of the page. */
export interface View {
  /** Called when it comes into sight, and again whenever the engine, the model or the corpus has changed while it is. */
  show(): void;
  /** What a link to it must say: settings that are not those it begins with. */
  settings(): Record<string, string>;
  /** Takes the settings of a link. */
  take(settings: URLSearchParams): void;
}
