/** What the engine answers: mostly the shapes of the JSON that `examples/browser/engine` writes. */

export interface Machine {
  adapter: string;
  kind: string;
  backend: string;
  features: string[];
  system: string;
}

export interface Sizes {
  layers: number;
  hidden: number;
  neurons: number;
  engaged: number;
  depth: number;
  parameters: number;
  bytes: number;
}

export interface CorpusSizes {
  passages: number;
  tokens: number;
  /** What embedding it took; null: its vectors came with the page. */
  milliseconds: number | null;
}

export interface Found {
  text: string;
  place: string | undefined;
  /** The cosine of the two vectors. */
  similarity: number;
}

export interface Answer {
  found: Found[];
  /** From text to ranking; null: the question's vector came with the page. */
  milliseconds: number | null;
  tokens: number;
  engaged: number[][];
}

export interface Step {
  node: number;
  logit: number;
  activation: number;
}

export interface Walk {
  trained: boolean;
  nodes: number;
  flips: number;
  tokens: { token: string; steps: Step[] }[];
}

export interface Stats {
  median: number;
  min: number;
  max: number;
}

export interface Row {
  workload: string;
  kernel: string;
  precision: string;
  tokens: number;
  timing: "timestamps" | "wall";
  seconds: Stats;
  leaves: number | null;
  layer: {
    /** `form` is left out of the published one. */
    cmm?: { trees: number; depth: number; form?: string };
    dmm?: { neurons: number };
    encoder?: { trees: number; neurons: number };
  };
  check: { passed: boolean; tokens: number; error: number | null; allowed: number };
}

export interface Race {
  width: number;
  fff: Row;
  /** Ways to compute the dense layer, the fastest first. */
  dense: [Row, ...Row[]];
}

export interface Report {
  machine: Machine;
  complete: boolean;
  rows: Row[];
}

export interface Compared {
  what: string;
  seconds: [number, number];
  beyond_noise: boolean;
}
