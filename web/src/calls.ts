/** Calls to a worker. Each has a promise, a `signal` that ends it, and progress. */

import { CmmError } from "./errors.js";
import type { Failed, Reply, StarterPort } from "./messages.js";

type Waiting = {
  resolve: (result: any) => void;
  reject: (error: Error) => void;
  progress: ((value: any) => void) | undefined;
};

export interface CallOptions {
  progress?: ((value: any) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface Events {
  memory?: ((bytes: number) => void) | undefined;
  lost?: ((why: string) => void) | undefined;
}

export class Calls {
  private readonly waiting = new Map<number, Waiting>();
  private next = 0;
  /** The reason why no call can be answered any more. */
  private ended: Failed | null = null;

  constructor(
    private readonly port: StarterPort,
    events: Events,
  ) {
    port.receive((reply) => this.answered(reply, events));
    port.broken((message) => this.end({ code: "crashed", message }));
  }

  call<T>(method: string, given: unknown[], { progress, signal }: CallOptions = {}): Promise<T> {
    if (this.ended) return Promise.reject(error(this.ended));
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const id = this.next++;
    return new Promise<T>((resolve, reject) => {
      const stop = () => {
        this.done(id);
        this.port.send({ abort: id });
        reject(aborted(signal));
      };
      const free = () => signal?.removeEventListener("abort", stop);
      this.waiting.set(id, {
        resolve: (result) => (free(), resolve(result)),
        reject: (why) => (free(), reject(why)),
        progress,
      });
      signal?.addEventListener("abort", stop, { once: true });
      this.port.waits(true);
      this.port.send({ id, method, given });
    });
  }

  /** Ends the worker. Calls that wait for it fail with this reason. */
  end(why: Failed): void {
    if (this.ended) return;
    this.ended = why;
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    this.port.end();
    for (const { reject } of waiting) reject(error(why));
  }

  private answered(reply: Reply, events: Events): void {
    if ("memory" in reply) return events.memory?.(reply.memory);
    if ("lost" in reply) return events.lost?.(reply.lost);
    const waiting = this.waiting.get(reply.id);
    // Nobody wants the answer of a call that was aborted.
    if (!waiting) return;
    if ("progress" in reply) return waiting.progress?.(reply.progress);
    this.done(reply.id);
    if ("failed" in reply) waiting.reject(error(reply.failed));
    else waiting.resolve(reply.result);
  }

  private done(id: number): void {
    this.waiting.delete(id);
    if (this.waiting.size === 0) this.port.waits(false);
  }
}

const error = ({ code, message }: Failed) => new CmmError(code, message);
const aborted = (signal: AbortSignal | undefined) => new CmmError("aborted", "the call was aborted", { cause: signal?.reason });
