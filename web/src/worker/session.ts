/** A device, a model on it, and the methods by which they are called. */

import { CmmError, isCode } from "../errors.js";
import type { WorkerPort } from "../messages.js";
import type { Because, Description, Embeddings, TextKind, Wanted } from "../types.js";
import { findAdapter, watchGpu } from "./gpu.js";
import { type Located, ModelFiles } from "./model-files.js";
import { type Methods, serve, Transferred } from "./serve.js";
import type { Host, Wasm, WasmEngine } from "./wasm.js";

/**
 * The number of texts that run at once. On the processor there are few, so that progress is seen
 * and an abort is heard.
 */
const AT_ONCE = { gpu: 256, processor: 16 };

export interface Extension<E> {
  /** Methods in addition to the package's. */
  methods: Methods;
  /** Called when the device is open. */
  opened(engine: E, description: Description): Promise<void>;
}

export function startSession<E extends WasmEngine>(
  port: WorkerPort,
  host: Host,
  wasm: Wasm<E>,
  extend?: (engine: () => E) => Extension<E>,
): void {
  let engine: E | undefined;
  let description: Description | undefined;
  /** The memory of an engine on the CPU. */
  let memory: WebAssembly.Memory | undefined;

  const opened = (): E => {
    if (!engine) throw new CmmError("input", "the engine is not open");
    return engine;
  };
  const extension = extend?.(opened);

  /** Opens the GPU, or returns the reason for using the CPU. */
  async function openGpu(wanted: Wanted): Promise<Because | { name: string; software: boolean }> {
    await host.prepareGpu();
    const adapter = await findAdapter();
    if ("missing" in adapter) {
      if (wanted === "auto") return adapter.missing;
      const message = adapter.missing === "no-webgpu" ? "there is no WebGPU here" : "WebGPU found no adapter";
      throw new CmmError(adapter.missing, message);
    }
    // A software GPU is slower than the processor that runs it.
    if (wanted === "auto" && adapter.software) return "software";
    // If the CPU has taken its place, the GPU reports nothing.
    watchGpu(
      (bytes) => memory ?? port.send({ memory: bytes }, []),
      (lost) => memory ?? port.send({ lost }, []),
    );
    try {
      engine = await wasm.Engine.on_gpu();
      return adapter;
    } catch (error) {
      if (wanted !== "auto" || !(error instanceof Error) || !isCode(error.name)) throw error;
      return error.name === "unsupported" ? "unsupported" : "refused";
    }
  }

  async function open(wanted: Wanted): Promise<Description> {
    const { memory: whole } = await wasm.initialise();
    const found = wanted === "cpu" ? "asked" : await openGpu(wanted);
    if (typeof found === "string") {
      engine = wasm.Engine.on_cpu();
      memory = whole;
    }
    const of =
      typeof found === "string"
        ? { because: found, adapter: "the CPU, in WebAssembly", software: true }
        : { because: null, adapter: found.name, software: found.software };
    description = { ...JSON.parse(opened().describe()), ...of };
    await extension?.opened(opened(), description as Description);
    return description as Description;
  }

  async function embed(
    texts: string[],
    kind: TextKind,
    nodes: boolean,
    progress: (done: number) => void,
    signal: AbortSignal,
  ): Promise<Transferred> {
    const width = opened().width();
    const atOnce = description?.software ? AT_ONCE.processor : AT_ONCE.gpu;
    const embeddings: Embeddings = { data: new Float32Array(texts.length * width), dims: [texts.length, width] };
    const some: { tokens: Uint32Array; layers: Uint32Array[] }[] = [];
    for (let at = 0; at < texts.length; at += atOnce) {
      // While the thread was busy, an abort could not be heard.
      if (at > 0 && description?.device === "cpu") await new Promise((resolve) => setTimeout(resolve));
      if (signal.aborted) throw new CmmError("aborted", "the call was aborted");
      const part = texts.slice(at, at + atOnce);
      if (nodes) {
        const [vectors, tokens, layers] = await opened().embed_with_nodes(part);
        embeddings.data.set(vectors, at * width);
        some.push({ tokens, layers });
      } else embeddings.data.set(await opened().embed(part, kind), at * width);
      progress(at + part.length);
    }
    if (!nodes) return new Transferred(embeddings, [embeddings.data.buffer as ArrayBuffer]);
    const layers = some[0]?.layers.map((_, layer) => joined(some.map(({ layers }) => layers[layer] as Uint32Array))) ?? [];
    embeddings.nodes = { tokens: joined(some.map(({ tokens }) => tokens)), layers };
    const arrays = [embeddings.data, embeddings.nodes.tokens, ...layers];
    return new Transferred(embeddings, arrays.map(({ buffer }) => buffer as ArrayBuffer));
  }

  const methods: Methods = {
    open: (_, wanted: Wanted) => open(wanted),
    async cached({ signal }, located: Located) {
      return (await ModelFiles.at(located, host, wasm.sha256, signal)).cached();
    },
    async clearCache(_, { cache }: Located) {
      await (await host.store(cache))?.clear();
    },
    async load({ progress, signal }, located: Located, options: { precision: string; variant: string | undefined }) {
      opened();
      const files = await ModelFiles.at(located, host, wasm.sha256, signal);
      const contents = await files.all(progress);
      if (signal.aborted) throw new CmmError("aborted", "the call was aborted");
      progress({ stage: "upload" });
      await opened().load(contents, options.precision, options.variant, !!extension);
      return files.manifest.name;
    },
    embed: ({ progress, signal }, texts: string[], kind: TextKind, nodes: boolean) => embed(texts, kind, nodes, progress, signal),
    lose: () => opened().lose(),
    ...extension?.methods,
  };
  serve(port, methods, () => memory && port.send({ memory: memory.buffer.byteLength }, []));
}

function joined(parts: Uint32Array[]): Uint32Array {
  const whole = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
