/** The engine, off the page's thread: one call at a time, in the order in which they come. */

import initialise, { Engine, compare, table } from "./pkg/cmm_browser.js";
import { adapterName, watchGpu } from "./gpu.js";
import type { Call, Reply } from "./messages.js";
import { cached, clearCache, download, failure } from "./model.js";

const post = (reply: Reply) => self.postMessage(reply);
let engine: Engine | undefined;

type Progress = (value: unknown) => void;
type Methods = Record<string, (progress: Progress, ...rest: any[]) => unknown>;

function opened(): Engine {
  if (!engine) throw failure("gpu", "the engine is not open");
  return engine;
}

const parsed = async (json: string | Promise<string>) => JSON.parse(await json);

const methods: Methods = {
  async open() {
    const adapter = await adapterName();
    if ("missing" in adapter) throw failure(adapter.missing, "");
    watchGpu((memory) => post({ memory }), (lost) => post({ lost }));
    await initialise();
    engine = await Engine.open(adapter.name, navigator.userAgent);
    return parsed(engine.describe());
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
  } catch (error) {
    const { name, message } = error instanceof Error ? error : { name: "crash", message: String(error) };
    // What is none of our own kinds has broken the engine: a trap in WebAssembly, or a file of the page that is missing.
    const kind = /^[a-z-]+$/.test(name) ? name : "crash";
    post({ id, failed: { kind, message } });
  }
}

let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<Call>) => {
  last = last.then(() => answer(data));
};
