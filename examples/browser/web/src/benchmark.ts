/** The library's benchmark in this browser, as the JSON that `cmm bench` writes, beside a result from elsewhere. */

import type { Report, Row } from "./answers.js";
import { chart, type Line } from "./chart.js";
import { element, get, time } from "./dom.js";
import type { Page, View } from "./page.js";

export function benchmark(page: Page): View {
  const run = get<HTMLButtonElement>("bench-run");
  const copy = get<HTMLButtonElement>("bench-copy");
  const file = get<HTMLInputElement>("bench-file");
  let here: Report | null = null;
  let there: Report | null = null;

  run.addEventListener("click", async () => {
    run.disabled = true;
    get("bench-state").textContent = "Measuring…";
    try {
      here = await page.engine.bench(get<HTMLSelectElement>("bench-preset").value, (report) => {
        get("bench-state").textContent = `${report.rows.length} rows measured and checked…`;
        void render(report);
      });
      const wrong = here.rows.filter((row) => !row.check.passed).length;
      get("bench-state").textContent = wrong
        ? `${wrong} of ${here.rows.length} rows are wrong, and must not be published.`
        : `All ${here.rows.length} rows agree with the f64 reference.`;
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
    const text = await chosen.text();
    // The same file may have changed when it is chosen again.
    file.value = "";
    try {
      // The library reads it, and refuses what is no result.
      await page.engine.table(text);
      there = JSON.parse(text) as Report;
      get("bench-imported").textContent = `${chosen.name}: ${there.machine.adapter}, ${there.rows.length} rows.`;
      if (here) await render(here);
      else await renderTable(there);
    } catch (error) {
      get("bench-imported").textContent = `${chosen.name} is no result of cmm bench: ${(error as Error).message}`;
    }
  });

  async function renderTable(report: Report): Promise<void> {
    const [head = [], ...rows] = await page.engine.table(JSON.stringify(report));
    get("bench-table").replaceChildren(
      element("thead", {}, element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, cell))))),
    );
  }

  async function render(report: Report): Promise<void> {
    await renderTable(report);
    const lines = [...linesOf(report, "here", ""), ...(there ? linesOf(there, "there", ", imported") : [])];
    // An imported file may hold much more: what this page measured sets the frame.
    const names = new Set(report.rows.map((row) => row.workload));
    const shown = there && !there.rows.some((row) => names.has(row.workload)) ? linesOf(report, "here", "") : lines;
    get("bench-chart").replaceChildren(chart(shown, "Time of each layer over the number of tokens at once"));
    if (!there) return;
    const rows = await page.engine.compare(JSON.stringify(report), JSON.stringify(there));
    get("bench-compared").replaceChildren(
      rows.length === 0
        ? "The two results have no row in common: run the same benchmark on both."
        : element(
            "table",
            {},
            element("caption", {}, `This browser beside ${there.machine.adapter}`),
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

  return {
    show() {
      copy.disabled = !here;
    },
  };
}

/** A line for each layer: of its kernels the fastest at each size. */
function linesOf(report: Report, style: string, suffix: string): Line[] {
  const lines = new Map<string, Map<number, number>>();
  for (const row of report.rows.filter((row) => row.check.passed)) {
    const points = lines.get(name(row)) ?? new Map<number, number>();
    points.set(row.tokens, Math.min(row.seconds.median, points.get(row.tokens) ?? Infinity));
    lines.set(name(row), points);
  }
  return [...lines].map(([name, points]) => ({
    name: name + suffix,
    style: `${name.startsWith("FFF") ? "fff" : "dense"} ${style}`,
    points: [...points].map(([x, y]) => ({ x, y })),
  }));
}

function name({ layer }: Row): string {
  if (layer.cmm) return `FFF ${layer.cmm.form ? `${layer.cmm.form} ` : ""}${layer.cmm.trees}x${layer.cmm.depth}`;
  if (layer.dmm) return `dense ${layer.dmm.neurons}`;
  return layer.encoder?.trees ? "FFF encoder" : "dense encoder";
}
