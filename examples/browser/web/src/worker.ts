/** The engine, off the page's thread: one call at a time, in the order in which they come. */

import initialise, { Engine, type InitOutput, compare, table } from "./pkg/cmm_browser.js";
import { findAdapter, watchGpu } from "./gpu.js";
import type { Because, Call, Reply, Wanted } from "./messages.js";
import { cached, clearCache, download, failure } from "./model.js";

const post = (reply: Reply) => self.postMessage(reply);
let engine: Engine | undefined;
/** The memory of an engine on the CPU. */
let memory: InitOutput["memory"] | undefined;

/** Whether an error is one that the engine or this worker names; others are traps and missing files. */
const isOurs = (name: string) => /^[a-z-]+$/.test(name);

type Progress = (value: unknown) => void;
type Methods = Record<string, (progress: Progress, ...rest: any[]) => unknown>;

function opened(): Engine {
  if (!engine) throw failure("gpu", "the engine is not open");
  return engine;
}

const parsed = async (json: string | Promise<string>) => JSON.parse(await json);

/** Opens the GPU, or says why the CPU shall be taken. */
async function openGpu(wanted: Wanted): Promise<Because | null> {
  const adapter = await findAdapter();
  if ("missing" in adapter) {
    if (wanted === "auto") return adapter.missing;
    throw failure(adapter.missing, "");
  }
  // A GPU in software is slower than the processor that plays it.
  if (wanted === "auto" && adapter.software) return "software";
  // A GPU that the CPU has taken the place of has nothing to tell.
  watchGpu(
    (bytes) => memory ?? post({ memory: bytes }),
    (lost) => memory ?? post({ lost }),
  );
  try {
    engine = await Engine.on_gpu(adapter.name, adapter.software, navigator.userAgent);
    return null;
  } catch (error) {
    if (wanted !== "auto" || !(error instanceof Error) || !isOurs(error.name)) throw error;
    return error.name === "unsupported" ? "unsupported" : "refused";
  }
}

const methods: Methods = {
  async open(_, wanted: Wanted) {
    const wasm = await initialise();
    const because = wanted === "cpu" ? "asked" : await openGpu(wanted);
    if (because) {
      engine = await Engine.on_cpu(navigator.userAgent);
      memory = wasm.memory;
    }
    return { ...(await parsed(opened().describe())), because };
  },
  cached,
  clearCache,
  async load(progress) {
    const files = await download(progress);
    progress({ stage: "upload" });
    return parsed(opened().load(files));
  },
  index: (progress, lines: string[]) => parsed(opened().index(lines, progress)),
  ask: (_, query: string, top: number) => parsed(opened().ask(query, top)),
  embed: (_, texts: string[]) => parsed(opened().embed(texts)),
  walk: (_, text: string, layer: number) => parsed(opened().walk(text, layer)),
  heat: (_, layer: number, lines: string[]) => opened().heat(layer, lines),
  race: (_, text: string, lines: string[], layer: number, neurons: number, tokens: number) =>
    parsed(opened().race(text, lines, layer, neurons, tokens)),
  bench: (progress, preset: string) => parsed(opened().bench(preset, (json: string) => progress(JSON.parse(json)))),
  table: (_, report: string) => parsed(table(report)),
  compare: (_, here: string, there: string) => parsed(compare(here, there)),
  compileKernels: (progress) =>
    opened().compile_kernels((done: number, all: number) => progress({ done, all })),
  lose: () => opened().lose(),
};

async function answer({ id, method, arguments: given }: Call): Promise<void> {
  try {
    const call = methods[method];
    if (!call) throw failure("crash", `no method ${method}`);
    post({ id, result: await call((progress) => post({ id, progress }), ...given) });
    if (memory) post({ memory: memory.buffer.byteLength });
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: "crash", message: String(error) };
    const kind = isOurs(name) ? name : "crash";
    post({ id, failed: { kind, message } });
  }
}

let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Call>) => {
  last = last.then(() => answer(data));
};
