/** The library's benchmark in this browser, as the JSON that `cmm bench` writes, beside a result from elsewhere. */

import type { Report, Row } from "./answers.js";
import { chart, type Line } from "./chart.js";
import { count, element, get, time } from "./dom.js";
import type { Page, View } from "./page.js";
import { compared, ratio, right } from "./race.js";

/** A result file of the native command has some hundred kilobytes. */
const MOST_BYTES = 8 << 20;

export function benchmark(page: Page): View {
  const run = get<HTMLButtonElement>("bench-run");
  const copy = get<HTMLButtonElement>("bench-copy");
  const preset = get<HTMLSelectElement>("bench-preset");
  const file = get<HTMLInputElement>("bench-file");
  let here: Report | null = null;
  let there: Report | null = null;

  run.addEventListener("click", async () => {
    run.disabled = true;
    get("bench-verdict").textContent = "";
    get("bench-state").textContent = "Measuring…";
    try {
      here = await page.engine.bench(preset.value, (report) => {
        get("bench-state").textContent = `${count(report.rows.length)} rows measured and checked…`;
        render(report).catch(page.failed);
      });
      const wrong = here.rows.filter((row) => !right(row)).length;
      get("bench-state").textContent = wrong
        ? `${wrong} of ${here.rows.length} rows are wrong, and must not be published.`
        : `All ${here.rows.length} rows agree with the f64 reference.`;
      const sentence = verdict(here);
      get("bench-verdict").replaceChildren(page.software || wrong ? sentence : element("b", {}, sentence));
      copy.disabled = false;
      await render(here);
    } catch (error) {
      get("bench-state").textContent = "";
      page.failed(error);
    } finally {
      run.disabled = false;
    }
  });

  copy.addEventListener("click", async () => {
    const text = JSON.stringify(here, null, 2);
    const copied = await navigator.clipboard.writeText(text).then(() => true, () => false);
    get("bench-json").hidden = copied;
    get<HTMLTextAreaElement>("bench-json").value = text;
    get("bench-state").textContent = copied
      ? "Copied: save it as a file, and `cmm bench compare` reads it."
      : "This browser does not let a page copy: take it from below.";
  });

  file.addEventListener("change", async () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    const named = chosen.name;
    // What an earlier file said is gone, whatever becomes of this one.
    there = null;
    get("bench-compared").replaceChildren();
    try {
      if (chosen.size > MOST_BYTES) throw new Error(`it has ${count(Math.ceil(chosen.size / 1e6))} MB.`);
      const text = await chosen.text();
      // The same file may have changed when it is chosen again.
      file.value = "";
      // The library reads it, and refuses what is no result.
      await page.engine.table(text);
      there = JSON.parse(text) as Report;
      get("bench-imported").textContent = `${named}: ${there.machine.adapter}, ${there.rows.length} rows.`;
      if (here) await render(here);
      else await renderTable(there);
    } catch (error) {
      there = null;
      get("bench-imported").textContent = `${named} is no result of cmm bench: ${(error as Error).message}`;
      if (here) await render(here).catch(page.failed);
      else clearTable();
    }
  });

  async function renderTable(report: Report): Promise<void> {
    get("bench-table").replaceChildren(...brief(report));
    // Every column that the library prints.
    const [head = [], ...rows] = await page.engine.table(JSON.stringify(report));
    get("bench-full").replaceChildren(
      element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))),
    );
    get("bench-all").hidden = false;
  }

  function clearTable(): void {
    for (const id of ["bench-table", "bench-full"]) get(id).replaceChildren();
    get("bench-all").hidden = true;
  }

  async function render(report: Report): Promise<void> {
    await renderTable(report);
    const lines = [...linesOf(report, "here", ""), ...(there ? linesOf(there, "there", ", imported") : [])];
    // An imported file may hold much more: what this page measured sets the frame.
    const names = new Set(report.rows.map((row) => row.workload));
    const shown = there && !there.rows.some((row) => names.has(row.workload)) ? linesOf(report, "here", "") : lines;
    chart(get("bench-chart"), shown, "Time of each layer over the number of tokens at once");
    if (!there) return;
    const rows = await page.engine.compare(JSON.stringify(report), JSON.stringify(there));
    get("bench-compared").replaceChildren(
      rows.length === 0
        ? "The two results have no row in common: run the same benchmark on both."
        : element(
            "table",
            {},
            element("caption", {}, `This browser beside ${there.machine.adapter}`),
            element("thead", {}, element("tr", {}, ...["", "here", "there", ""].map((name) => element(name ? "th" : "td", {}, name)))),
            ...rows.map(({ what, seconds: [a, b], beyond_noise }) =>
              element(
                "tr",
                {},
                element("td", {}, what),
                element("td", {}, time(a)),
                element("td", {}, time(b)),
                element("td", {}, beyond_noise ? (b < a ? `${(a / b).toFixed(1)}x faster there` : `${(b / a).toFixed(1)}x faster here`) : "within noise"),
              ),
            ),
          ),
    );
  }

  preset.addEventListener("change", () => page.changed());

  return {
    settings: (): Record<string, string> => (preset.value === "small" ? {} : { run: preset.value }),
    take(settings) {
      const wanted = settings.get("run");
      preset.value = [...preset.options].some(({ value }) => value === wanted) ? (wanted as string) : "small";
    },
    show() {
      copy.disabled = !here;
    },
  };
}

/** Of the kernels that computed the same, the fastest: that is what a layer takes. */
function best(report: Report): Map<string, Map<number, Row>> {
  const layers = new Map<string, Map<number, Row>>();
  for (const row of report.rows.filter(right)) {
    const bySize = layers.get(name(row)) ?? new Map<number, Row>();
    const other = bySize.get(row.tokens);
    if (!other || row.seconds.median < other.seconds.median) bySize.set(row.tokens, row);
    layers.set(name(row), bySize);
  }
  return layers;
}

/** The dense row beside which an FFF row stands: of the same tokens, in the same precision. */
function rivalOf(layers: Map<string, Map<number, Row>>, { tokens, precision }: Row): Row | undefined {
  const same = [...layers].filter(([name]) => name.startsWith("dense")).map(([, bySize]) => bySize.get(tokens));
  return same.find((row) => row?.precision === precision);
}

/** What was measured, in sentences: for the fewest tokens and for the most. */
function verdict(report: Report): string {
  const layers = best(report);
  const fff = [...layers].find(([name]) => name.startsWith("FFF"));
  const rows = [...(fff?.[1].values() ?? [])].filter((row) => rivalOf(layers, row)).sort((a, b) => a.tokens - b.tokens);
  const [first, last] = [rows[0], rows.at(-1)];
  if (!fff || !first || !last) return "";
  const said = [...new Set([first, last])].map((own) => {
    const other = rivalOf(layers, own) as Row;
    return `${compared(own, other)} ${name(other)} for ${count(own.tokens)} ${own.tokens === 1 ? "token" : "tokens"}`;
  });
  const [what, more] = work(first, rivalOf(layers, first) as Row);
  return `${fff[0]}${what} ${said.join(", and ")}.${more}`;
}

/** What an FFF layer is, and how unequal the work is, where that can be counted. */
function work({ layer: { cmm } }: Row, { layer: { dmm } }: Row): [what: string, more: string] {
  if (!cmm || cmm.form === "leaf" || !dmm) return ["", ""];
  const [nodes, engaged] = [cmm.trees * (2 ** (cmm.depth + 1) - 1), cmm.trees * (cmm.depth + 1)];
  const trees = cmm.trees === 1 ? "one tree" : `${cmm.trees} trees`;
  return [
    ` (${trees}; a token computes ${count(engaged)} of ${count(nodes)} neurons)`,
    ` The dense layer computes ${count(Math.round(dmm.neurons / engaged))} times as many neurons for a token; Race has a rival of equal work.`,
  ];
}

/** What matters of every row, narrow enough for a phone. */
function brief(report: Report): HTMLElement[] {
  const layers = best(report);
  const head = ["layer", "tokens", "time", "vs dense", "check"].map((name) => element("th", { scope: "col" }, name));
  const rows = report.rows.map((row) => {
    const rival = name(row).startsWith("FFF") ? rivalOf(layers, row) : undefined;
    const times = rival && right(row) ? rival.seconds.median / row.seconds.median : 0;
    const beside = times > 0 && times < Infinity ? `${ratio(times)}x` : "";
    const layer = element("td", {}, name(row), element("small", {}, row.kernel));
    const check = element("td", { class: right(row) ? "passed" : "wrong" }, right(row) ? "right" : "WRONG");
    return element("tr", {}, layer, ...[count(row.tokens), time(row.seconds.median), beside].map((cell) => element("td", {}, cell)), check);
  });
  return [element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)];
}

/** A line for each layer. */
function linesOf(report: Report, style: string, suffix: string): Line[] {
  return [...best(report)].map(([name, bySize]) => ({
    name: name + suffix,
    style: `${name.startsWith("FFF") ? "fff" : "dense"} ${style}`,
    points: [...bySize].map(([x, row]) => ({ x, y: row.seconds.median })),
  }));
}

function name({ layer, precision }: Row): string {
  const suffix = precision === "f32" ? "" : ` ${precision}`;
  if (layer.cmm) return `FFF ${layer.cmm.form ? `${layer.cmm.form} ` : ""}${layer.cmm.trees}x${layer.cmm.depth}${suffix}`;
  if (layer.dmm) return `dense ${layer.dmm.neurons}${suffix}`;
  return `${layer.encoder?.trees ? "FFF encoder" : "dense encoder"}${suffix}`;
}
