/** Comparisons of vectors. */

import { CmmError } from "./errors.js";
import type { Embeddings, Hit } from "./types.js";

type Vector = ArrayLike<number>;

/** Returns the cosine of two vectors; 0 if one of them has length 0. */
export function cosine(a: Vector, b: Vector): number {
  if (a.length !== b.length) throw new CmmError("input", `vectors of ${a.length} and of ${b.length} values have no cosine`);
  let [product, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    product += x * y;
    left += x * x;
    right += y * y;
  }
  const length = Math.sqrt(left) * Math.sqrt(right);
  return length > 0 ? product / length : 0;
}

/** Returns one of several vectors. */
export function vector({ data, dims: [count, width] }: Embeddings, index: number): Float32Array {
  if (!(index >= 0 && index < count)) throw new CmmError("input", `there is no vector ${index} among ${count}`);
  return data.subarray(index * width, (index + 1) * width);
}

/** Returns the vectors that are nearest to a query, best first. */
export function nearest(query: Vector, documents: Embeddings, top = 10): Hit[] {
  if (!(Number.isInteger(top) && top >= 0)) throw new CmmError("input", `top must be a whole number; it is ${top}`);
  const hits = Array.from({ length: documents.dims[0] }, (_, index) => ({ index, score: cosine(query, vector(documents, index)) }));
  return hits.sort((a, b) => b.score - a.score).slice(0, top);
}
