/** The same tokens through an FFF layer and through a dense one, on the visitor's device. */

import type { Race } from "./answers.js";
import { chart } from "./chart.js";
import { count, element, get, still, time } from "./dom.js";
import type { Page, View } from "./page.js";

/** Runs of the faster lane that its race lasts; a run each, if that is seconds long. */
const SECONDS = 2.4;

export function race(page: Page): View {
  const slider = get<HTMLInputElement>("race-tokens");
  const against = get<HTMLSelectElement>("race-against");
  const text = get<HTMLInputElement>("race-text");
  const buttons = [get<HTMLButtonElement>("race-go"), get<HTMLButtonElement>("race-all")];
  /** What has been measured, by the dense layer's neurons; of one layer width only. */
  let results = new Map<number, Race[]>();
  let width = 0;
  let frame = 0;

  const tokens = () => 2 ** Number(slider.value);
  const neurons = () => (against.value === "all" ? (page.model?.neurons ?? 4095) : Number(against.value));

  async function measure(size: number): Promise<Race> {
    const layer = page.model ? Math.floor(page.model.layers / 2) : 0;
    const result = await page.engine.race(text.value, page.lines, layer, neurons(), size);
    if (result.width !== width) {
      results = new Map();
      width = result.width;
    }
    const dense = result.dense.layer.dmm?.neurons ?? 0;
    const others = (results.get(dense) ?? []).filter((other) => other.fff.tokens !== size);
    results.set(dense, [...others, result]);
    return result;
  }

  async function run(sizes: number[]): Promise<void> {
    buttons.forEach((button) => (button.disabled = true));
    cancelAnimationFrame(frame);
    try {
      for (const size of sizes) {
        get("race-verdict").textContent = `Measuring ${count(size)} ${size === 1 ? "token" : "tokens"}…`;
        const result = await measure(size);
        draw();
        verdict(result);
        if (sizes.length === 1) animate(result);
        else lanes(result, 1, 1);
      }
    } catch (error) {
      get("race-verdict").textContent = "";
      page.failed(error);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  function verdict({ fff, dense }: Race): void {
    const ratio = dense.seconds.median / fff.seconds.median;
    const checked = (row: Race["fff"]) => (row.check.passed ? "right" : "WRONG");
    const than = `the dense layer of ${count(dense.layer.dmm?.neurons ?? 0)} neurons`;
    const faster = ratio >= 1 ? `${ratio.toFixed(1)} times faster than` : `${(1 / ratio).toFixed(1)} times slower than`;
    get("race-verdict").replaceChildren(
      element("b", {}, `FFF is ${faster} ${than}`),
      ` for ${count(fff.tokens)} ${fff.tokens === 1 ? "token" : "tokens"}. Both were held against the f64 reference in this run: `,
      `FFF ${checked(fff)} (error ${fff.check.error?.toExponential(0) ?? "NaN"}), dense ${checked(dense)} (${dense.check.error?.toExponential(0) ?? "NaN"}). `,
      `The tokens took ${count(fff.leaves ?? 0)} different paths. Timed by ${fff.timing === "timestamps" ? "GPU timestamps" : "the clock"}.`,
    );
  }

  function lanes({ fff, dense }: Race, fffShare: number, denseShare: number): void {
    get("lane-fff").style.setProperty("--share", String(fffShare));
    get("lane-dense").style.setProperty("--share", String(denseShare));
    get("time-fff").textContent = time(fff.seconds.median);
    get("time-dense").textContent = time(dense.seconds.median);
    get("name-dense").textContent = `dense, ${count(dense.layer.dmm?.neurons ?? 0)} neurons`;
  }

  /** Both lanes at their measured speeds, slowed so that the slower one takes `SECONDS`. */
  function animate(result: Race): void {
    const [fff, dense] = [result.fff.seconds.median, result.dense.seconds.median];
    if (still() || document.hidden) return lanes(result, 1, 1);
    const slower = Math.max(fff, dense);
    const start = performance.now();
    const step = (now: number) => {
      const at = ((now - start) / 1e3 / SECONDS) * slower;
      lanes(result, Math.min(1, at / fff), Math.min(1, at / dense));
      if (at < slower) frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  }

  function draw(): void {
    const points = (pick: (race: Race) => number, races: Race[]) =>
      races.map((race) => ({ x: race.fff.tokens, y: pick(race) }));
    const seconds = (row: Race["fff"]) => row.seconds.median;
    const all = [...results.entries()].sort(([a], [b]) => b - a);
    // The newest measurement of a size stands for FFF, whatever it ran against.
    const fff = new Map(all.flatMap(([, races]) => races).map((race) => [race.fff.tokens, race]));
    const lines = [
      { name: "FFF, 12 awake", style: "fff", points: points((race) => seconds(race.fff), [...fff.values()]) },
      ...all.map(([dense, races], index) => ({
        name: `dense ${count(dense)}`,
        style: `dense dense-${index}`,
        points: points((race) => seconds(race.dense), races),
      })),
    ];
    get("race-chart").replaceChildren(chart(lines, "Time of a layer over the number of tokens at once"));
    get("race-crossing").textContent = crossing(all);
  }

  /** Where, of the sizes measured, the dense layer overtakes. */
  function crossing(all: [number, Race[]][]): string {
    const said = all.map(([dense, races]) => {
      const sorted = [...races].sort((a, b) => a.fff.tokens - b.fff.tokens);
      const lost = sorted.find((race) => race.dense.seconds.median < race.fff.seconds.median);
      const most = sorted.at(-1)?.fff.tokens ?? 0;
      return lost
        ? `Dense ${count(dense)} is faster from ${count(lost.fff.tokens)} tokens.`
        : `Against dense ${count(dense)} FFF wins at every size measured, up to ${count(most)}.`;
    });
    return said.join(" ");
  }

  slider.addEventListener("input", () => (get("race-size").textContent = count(tokens())));
  get("race-go").addEventListener("click", () => void run([tokens()]));
  get("race-all").addEventListener("click", () => {
    const most = Number(slider.max);
    void run(Array.from({ length: most / 2 + 1 }, (_, i) => 4 ** i));
  });

  return {
    show() {
      get("race-size").textContent = count(tokens());
      get("race-layer").textContent = page.model
        ? `Layer ${Math.floor(page.model.layers / 2) + 1} of FastMiniLM, ${page.model.hidden} wide, on what it really reads: your text's tokens, then the corpus'.`
        : "A seeded layer, 128 wide, words as random vectors. With the model, it is FastMiniLM's own.";
    },
  };
}
