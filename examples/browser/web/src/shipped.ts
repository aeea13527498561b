/** Vectors that were made when the page was built, by ../../embed-corpus.mjs: of the corpus, and of the questions to begin with. */

import { corpus, examples } from "./corpus.js";

export interface Shipped {
  /** The model that made them, by the SHA-256 of its manifest. */
  manifestSha256: string;
  /** Values of a vector. */
  width: number;
  /** Tokens of the corpus. */
  tokens: number;
  layers: number;
  neurons: number;
  engaged: number;
  /** For each layer, how many of those tokens engaged each node. */
  heat: number[][];
  /** What each question's tokens engaged. */
  questions: { tokens: number; engaged: number[][] }[];
}

export interface Vectors extends Shipped {
  corpus: Float32Array;
  examples: Float32Array;
}

const address = (name: string) => new URL(`./corpus/${name}`, import.meta.url);

/** None where they did not arrive, or are not of this corpus: the engine makes them then. */
export async function shipped(): Promise<Vectors | null> {
  try {
    const [about, values] = await Promise.all([fetch(address("about.json")), fetch(address("vectors.f32"))]);
    if (!about.ok || !values.ok) return null;
    const [said, bytes] = [(await about.json()) as Shipped, await values.arrayBuffer()];
    if (bytes.byteLength !== (corpus.length + examples.length) * said.width * 4 || said.questions.length !== examples.length) return null;
    const vectors = new Float32Array(bytes);
    const split = corpus.length * said.width;
    return { ...said, corpus: vectors.subarray(0, split), examples: vectors.subarray(split) };
  } catch {
    return null;
  }
}
