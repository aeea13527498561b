/** The page's worker: the package's, with what the views ask for beside it. */

import { browser, browserPort, CmmError, startSession } from "./cmm-web/worker/index.js";
import initialise, { compare, Engine, sha256, table, Views } from "./pkg/cmm_browser.js";

startSession(browserPort, browser, { initialise, Engine, sha256 }, (engine) => {
  let made: Views | undefined;
  const views = () => {
    if (!made) throw new CmmError("input", "the engine is not open");
    return made;
  };
  const parsed = async (json: string | Promise<string>) => JSON.parse(await json);
  return {
    async opened(engine, { adapter, software }) {
      made = Views.open(engine, adapter, software, navigator.userAgent);
    },
    methods: {
      sizes: () => parsed(views().sizes(engine())),
      walk: (_, text: string, layer: number) => parsed(views().walk(engine(), text, layer)),
      heat: (_, lines: string[]) => views().heat(engine(), lines),
      race: (_, text: string, lines: string[], layer: number, neurons: number, tokens: number, seconds: number) =>
        parsed(views().race(engine(), text, lines, layer, neurons, tokens, seconds)),
      bench: ({ progress }, preset: string) =>
        parsed(views().bench(engine(), preset, (json: string) => progress(JSON.parse(json)))),
      table: (_, report: string) => parsed(table(report)),
      compare: (_, here: string, there: string) => parsed(compare(here, there)),
      compileKernels: ({ progress }) =>
        views().compile_kernels(engine(), (done: number, all: number) => progress({ done, all })),
    },
  };
});
