/** The page: which view is seen, what is loaded, and what went wrong. */

import { ask } from "./ask.js";
import { benchmark } from "./benchmark.js";
import { type Because, CmmError, type Description, type LoadProgress, type Wanted } from "./cmm-web/index.js";
import { corpus, type Passage } from "./corpus.js";
import { count, get, megabytes, time } from "./dom.js";
import { Engine } from "./engine.js";
import { isOfModel, words } from "./failure.js";
import { drawIdea, measureHere } from "./hero.js";
import * as link from "./link.js";
import type { Page, View } from "./page.js";
import { path } from "./path.js";
import { race } from "./race.js";

const load = get<HTMLButtonElement>("load");
const back = get<HTMLButtonElement>("use-shipped");
const started = performance.now();
/** Whether the model was asked for. */
let wanted = false;
/** The device that the address asks for: `?device=webgpu` or `?device=cpu`. */
let device: Wanted = deviceOf(new URLSearchParams(location.search).get("device"));

const page: Page = {
  engine: makeEngine(),
  device: "this GPU",
  software: false,
  model: null,
  passages: corpus,
  indexed: null,
  failed,
  setPassages,
  loadModel,
  changed,
};

const views: Record<string, View> = {
  ask: ask(page),
  path: path(page),
  race: race(page),
  benchmark: benchmark(page),
};
const tabs = [...document.querySelectorAll<HTMLAnchorElement>("nav a")];

function makeEngine(): Engine {
  return new Engine(
    (bytes) => (get("memory").textContent = megabytes(bytes)),
    (why) => failed(new CmmError("device-lost", why)),
  );
}

function deviceOf(asked: string | null): Wanted {
  return asked === "webgpu" || asked === "cpu" ? asked : "auto";
}

const shown = () => (Object.hasOwn(views, link.read().view) ? link.read().view : "ask");

/** Whether what choosing saves is to be measured as soon as the place where it is said is in sight. */
let toMeasure = false;
function measure(): void {
  if (!toMeasure || get("hero").hidden) return;
  toMeasure = false;
  get("here").textContent = "Measuring what that saves here…";
  measureHere(page).catch(failed);
}

/** Browsers stop a page that changes its address at every letter. */
let noting = 0;
function changed(): void {
  clearTimeout(noting);
  noting = setTimeout(() => link.write(shown(), views[shown()]?.settings() ?? {}), 250);
}

function show(): void {
  const name = shown();
  for (const other of Object.keys(views)) get(other).hidden = other !== name;
  for (const tab of tabs) {
    if (tab.hash === `#${name}`) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  get("copied").textContent = get("said").textContent = "";
  // What it is about is said where everybody begins.
  get("hero").hidden = name !== "ask";
  // Ask has answers that came with the page, whatever becomes of the engine.
  if (name === "ask" || document.body.dataset["state"] !== "opening") views[name]?.show();
  measure();
}

/** Says what went wrong, once, with a way on. */
function failed(error: unknown): void {
  const { code: kind, message } =
    error instanceof CmmError ? error : { code: "crashed", message: error instanceof Error ? error.message : String(error) };
  // Of an engine that another has replaced there is nothing to tell.
  if (kind === "disposed" || kind === "aborted") return;
  if (kind === "input") {
    get("said").textContent = message;
    get("said").scrollIntoView({ block: "center" });
    return;
  }
  const { title, text, action, onCpu } = words(kind);
  const box = get("failure");
  // The first cause stays: what follows from a lost device says nothing new.
  if (!box.hidden && box.dataset["kind"] === "device-lost") return;
  box.hidden = false;
  box.dataset["kind"] = kind;
  get("failure-title").textContent = title;
  get("failure-text").textContent = text;
  get("failure-words").textContent = message;
  // Whoever pressed something further down would not see it.
  box.scrollIntoView({ block: "center" });
  const button = get<HTMLButtonElement>("failure-action");
  button.hidden = !action;
  button.textContent = action ?? "";
  button.onclick = () => {
    box.hidden = true;
    if (onCpu) {
      device = "cpu";
      history.replaceState(null, "", `?device=cpu${location.hash}`);
    }
    if (isOfModel(kind)) void loadModel();
    else void start();
  };
  if (isOfModel(kind)) idle();
  else {
    page.model = page.indexed = null;
    toMeasure = false;
    document.body.dataset["state"] = "failed";
    get("saves").hidden = true;
    get("loading").hidden = true;
  }
}

/** A fresh worker and device; then the model, if it was there before or is in the cache. */
async function start(): Promise<void> {
  indexing.abort();
  page.engine.close();
  // An engine that another start has replaced meanwhile changes nothing any more.
  const engine = (page.engine = makeEngine());
  page.model = page.indexed = null;
  toMeasure = false;
  // Another device has numbers of its own.
  get("here-bars").replaceChildren();
  get("here").textContent = "What that saves here is measured soon…";
  get("measure").hidden = true;
  get("on-cpu").hidden = true;
  get("saves").hidden = false;
  document.body.dataset["state"] = "opening";
  try {
    const description = await engine.open(device);
    if (engine !== page.engine) return;
    describe(description);
  } catch (error) {
    if (engine === page.engine) failed(error);
    return;
  }
  document.body.dataset["state"] = "seeded";
  document.body.dataset["ready"] = String(Math.round(performance.now() - started));
  show();
  try {
    const { complete, bytes, wire } = await engine.cached();
    if (engine !== page.engine) return;
    cacheSize(bytes);
    get("load-size").textContent = megabytes(wire);
    if (complete || wanted) await loadModel();
    else idle();
    if (engine !== page.engine) return;
    if (document.body.dataset["state"] === "failed") return;
    get("measure").hidden = page.device !== "a GPU in software";
    if (get("measure").hidden) {
      toMeasure = true;
      measure();
    } else get("here").textContent = "What that saves here is not measured yet: on a GPU in software it takes some seconds.";
  } catch (error) {
    if (engine === page.engine) failed(error);
  }
}

const WHY_CPU: Record<Because, string> = {
  asked: "The page runs on the processor, as was asked for",
  "no-webgpu": "This browser has no WebGPU, or keeps it from pages that are not served over https: the page runs on the processor",
  "no-adapter": "This browser has WebGPU, but found no GPU: the page runs on the processor",
  software: "This browser emulates a GPU in software, which is slower than the processor itself: the page runs on the processor",
  refused: "This browser's GPU could not be opened: the page runs on the processor",
  unsupported: "This GPU lacks something that the engine needs: the page runs on the processor",
};

function describe({ adapter, device, because, software, features, variants, timestamps }: Description): void {
  page.device = device === "cpu" ? "this CPU" : software ? "a GPU in software" : "this GPU";
  page.software = software;
  // Of a GPU in software the page says what it is, and leads back.
  const chosen = because === "asked" || (because === null && software);
  get("on-cpu").hidden = because === null && !software;
  get("why-cpu").textContent = `${because === null ? "The page runs on a GPU emulated in software, which is slow" : WHY_CPU[because]}. Its times say little about GPUs.`;
  const other = get<HTMLAnchorElement>("other-device");
  other.hidden = !chosen && because !== "software";
  other.dataset["search"] = chosen ? location.pathname : "?device=webgpu";
  other.textContent = chosen ? "Let the page choose" : "Take that GPU all the same";
  for (const part of document.querySelectorAll<HTMLElement>(".of-gpu")) part.hidden = device === "cpu";
  get("adapter").textContent = device === "cpu" ? "the processor, one thread, WebAssembly with SIMD" : adapter;
  get("features").textContent = features.join(", ") || "none";
  get("variants").textContent = variants.join(", ");
  get("timing").textContent = timestamps ? "GPU timestamps" : "the page's clock";
}

const cacheSize = (bytes: number) => {
  get("cache").textContent = bytes ? megabytes(bytes) : "nothing";
  get<HTMLButtonElement>("clear").disabled = bytes === 0;
};

/** The model is not here, and can be asked for. */
function idle(): void {
  get("loading").hidden = true;
  load.hidden = false;
  // Ask says how a question of one's own can be asked.
  if (shown() === "ask") show();
}

async function loadModel(): Promise<void> {
  wanted = true;
  load.hidden = true;
  get("loading").hidden = false;
  // Until the model is there, another text cannot take the place of the one that is embedded.
  back.disabled = true;
  if (shown() === "ask") show();
  const { engine, passages } = page;
  try {
    const model = await engine.load(stage);
    if (engine !== page.engine) return;
    await index(passages);
    page.model = model;
    cacheSize((await engine.cached()).bytes);
    const { parameters, bytes } = model;
    get("model").textContent = `FastMiniLM, ${(parameters / 1e6).toFixed(1)} million parameters, ${megabytes(bytes)}`;
    document.body.dataset["state"] = "ready";
    document.body.dataset["modelReady"] = String(Math.round(performance.now() - started));
    show();
  } catch (error) {
    if (engine === page.engine) failed(error);
  } finally {
    back.disabled = false;
  }
}

function stage(now: LoadProgress): void {
  const bar = get<HTMLProgressElement>("bar");
  switch (now.stage) {
    case "download":
      bar.value = now.loaded / now.total;
      get("stage").textContent = now.cached
        ? `${now.file} from this browser's cache`
        : `${now.file}: ${megabytes(now.loaded)} of ${megabytes(now.total)}`;
      break;
    case "check":
      get("stage").textContent = `Checking ${now.file}…`;
      break;
    case "upload":
      bar.removeAttribute("value");
      get("stage").textContent = page.device === "this CPU" ? "Unpacking 6 layers…" : "Compiling shaders, uploading 6 layers…";
  }
}

/** Ends the making of vectors that another text's take the place of. */
let indexing = new AbortController();

/** Makes these what is searched, as soon as their vectors are there. */
async function index(passages: readonly Passage[]): Promise<void> {
  indexing.abort();
  const mine = (indexing = new AbortController());
  const bar = get<HTMLProgressElement>("bar");
  const start = performance.now();
  const progress = (done: number) => {
    bar.value = done / passages.length;
    get("stage").textContent = `Embedding: ${count(done)} of ${count(passages.length)} passages, ${time((performance.now() - start) / 1e3)}`;
  };
  get("loading").hidden = false;
  try {
    const indexed = await page.engine.index(passages, progress, mine.signal);
    Object.assign(page, { passages, indexed });
  } finally {
    if (mine === indexing) get("loading").hidden = true;
  }
}

async function setPassages(passages: readonly Passage[]): Promise<void> {
  try {
    if (page.model) await index(passages);
    else page.passages = passages;
    show();
  } catch (error) {
    failed(error);
  }
}

load.addEventListener("click", () => void loadModel());
get("clear").addEventListener("click", async () => {
  await page.engine.clearCache().then(() => cacheSize(0), failed);
});
get("compile").addEventListener("click", async () => {
  try {
    const all = await page.engine.compileKernels(({ done, all }) => {
      get("compiled").textContent = `${done} of ${all}…`;
    });
    get("compiled").textContent = `all ${all} accepted by this browser's compiler`;
  } catch (error) {
    get("compiled").textContent = "";
    failed(error);
  }
});
get("lose").addEventListener("click", () => void page.engine.lose().catch(failed));
get<HTMLAnchorElement>("other-device").addEventListener("click", (event) => {
  event.preventDefault();
  location.href = `${get("other-device").dataset["search"]}${location.hash}`;
});
get("copy-link").addEventListener("click", async () => {
  link.write(shown(), views[shown()]?.settings() ?? {});
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  const said = copied ? "Copied." : "This browser does not let a page copy: take it from the address bar.";
  get("copied").textContent = page.passages === corpus ? said : `${said} Whoever opens it sees the Declaration: your text is not in the link.`;
});

/** Follows a link: to a view, and to the settings that it names, if it does. */
function follow(): void {
  const { settings } = link.read();
  if ([...settings].length) views[shown()]?.take(settings);
  show();
  changed();
}
get("measure").addEventListener("click", () => {
  get("measure").hidden = true;
  toMeasure = true;
  measure();
});
addEventListener("hashchange", follow);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

// For tests and for the curious: the engine, as the views use it.
Object.assign(globalThis, { cmm: page });

// Where an origin is not secure there is no cache.
get("kept").hidden = !("caches" in globalThis);
drawIdea();
follow();
void start();
