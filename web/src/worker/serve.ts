/** Answers calls one at a time, in the order in which they arrive. */

import { CmmError, type ErrorCode, isCode } from "../errors.js";
import type { Call, Failed, WorkerPort } from "../messages.js";

/** Reports the progress of a call to its caller. */
export type Progress = (value: any) => void;

export type Method = (context: { progress: Progress; signal: AbortSignal }, ...given: any[]) => unknown;

export type Methods = Record<string, Method>;

/** A result whose arrays are transferred, not copied. */
export class Transferred {
  constructor(
    readonly result: unknown,
    readonly buffers: ArrayBuffer[],
  ) {}
}

export function serve(port: WorkerPort, methods: Methods, after: () => void): void {
  const wanted = new Map<number, AbortController>();
  let last: Promise<void> = Promise.resolve();
  /** The reason why the engine's memory cannot be trusted any more. */
  let broken: string | null = null;

  async function answer({ id, method, given }: Call, signal: AbortSignal): Promise<void> {
    try {
      if (broken !== null) throw new CmmError("crashed", broken);
      if (signal.aborted) throw new CmmError("aborted", "the call was aborted");
      const call = Object.hasOwn(methods, method) ? methods[method] : undefined;
      if (!call) throw new CmmError("crashed", `no method ${method}`);
      const progress = (progress: unknown) => port.send({ id, progress }, []);
      const result = await call({ progress, signal }, ...given);
      if (result instanceof Transferred) port.send({ id, result: result.result }, result.buffers);
      else port.send({ id, result }, []);
      after();
    } catch (error) {
      const failed = failure(error, signal);
      if (error instanceof WebAssembly.RuntimeError) broken = failed.message;
      port.send({ id, failed }, []);
    }
  }

  port.receive((request) => {
    if ("abort" in request) return wanted.get(request.abort)?.abort();
    if ("close" in request) {
      for (const controller of wanted.values()) controller.abort();
      void last.then(() => port.close());
      return;
    }
    const controller = new AbortController();
    wanted.set(request.id, controller);
    last = last.then(() => answer(request, controller.signal)).finally(() => wanted.delete(request.id));
  });
}

function failure(error: unknown, signal: AbortSignal): Failed {
  if (signal.aborted) return { code: "aborted", message: "the call was aborted" };
  if (error instanceof CmmError) return { code: error.code, message: error.message };
  if (!(error instanceof Error)) return { code: "crashed", message: String(error) };
  // The names of the engine's errors are codes.
  if (isCode(error.name)) return { code: error.name satisfies ErrorCode, message: error.message };
  const code = error instanceof RangeError && /alloc|memory/i.test(error.message) ? "out-of-memory" : "crashed";
  return { code, message: error.message };
}
