/** The same tokens through an FFF layer and through dense ones, on the visitor's device. */

import type { Race, Row } from "./answers.js";
import { type Bar, bars } from "./bars.js";
import { chart } from "./chart.js";
import { count, element, get, time } from "./dom.js";
import type { Page, View } from "./page.js";

/** Seconds that each lane is measured for. */
const SECONDS = 0.4;
const TEXT = "Most of a language model's neurons are not needed for any one word.";
/** The power of two in the slider. */
const SIZE = "4";

export function race(page: Page): View {
  const slider = get<HTMLInputElement>("race-tokens");
  const against = get<HTMLSelectElement>("race-against");
  const text = get<HTMLInputElement>("race-text");
  const buttons = [get<HTMLButtonElement>("race-go"), get<HTMLButtonElement>("race-all")];
  text.value = TEXT;
  slider.value = SIZE;
  /** What has been measured, by the dense layer's neurons and by tokens; of one layer alone. */
  let results = new Map<number, Map<number, Race>>();
  let layerOf = "";

  const tokens = () => 2 ** Number(slider.value);
  const all = () => page.model?.neurons ?? 4095;
  const engaged = () => page.model?.engaged ?? 12;
  /** The rivals' neurons, that with equal work first. */
  const rivals = (): number[] => {
    const every = [engaged(), 1536, all()];
    const place = ["equal", "minilm", "all"].indexOf(against.value);
    return place < 0 ? every : every.slice(place, place + 1);
  };

  async function run(sizes: number[]): Promise<void> {
    buttons.forEach((button) => (button.disabled = true));
    try {
      const layer = page.model ? Math.floor(page.model.layers / 2) : 0;
      if (layerOf !== String(!!page.model)) results = new Map();
      layerOf = String(!!page.model);
      for (const size of sizes) {
        const raced: Race[] = [];
        for (const neurons of rivals()) {
          get("race-verdict").textContent = `Measuring ${words(size)} against ${neurons === engaged() ? "12 fixed neurons" : `${count(neurons)} neurons`}…`;
          const result = await page.engine.race(text.value, page.passages, layer, neurons, size, SECONDS);
          raced.push(result);
          results.set(neurons, (results.get(neurons) ?? new Map<number, Race>()).set(size, result));
          lanes(raced, sizes.length === 1 && raced.length === rivals().length);
        }
        draw();
        verdict(raced, size);
      }
    } catch (error) {
      get("race-verdict").textContent = "";
      page.failed(error);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  function lanes(raced: readonly Race[], grow: boolean): void {
    const [first] = raced;
    if (!first) return;
    const list: Bar[] = [
      { name: `${engaged()} chosen of ${count(all())}`, style: "fff", seconds: typical(raced).seconds.median },
      ...raced.map(({ dense: [rival] }) => ({ name: nameOf(neuronsOf(rival)), style: "dense", seconds: rival.seconds.median })),
    ];
    bars(get("race-lanes"), list, grow);
  }

  const nameOf = (neurons: number) =>
    neurons === engaged() ? `${neurons} fixed neurons` : neurons === all() ? `all ${count(neurons)}` : `MiniLM's own ${count(neurons)}`;

  function verdict(raced: readonly Race[], size: number): void {
    const own = typical(raced);
    const said = raced.map(({ dense: [rival] }) => {
      const neurons = neuronsOf(rival);
      const than = neurons === engaged() ? `computing ${neurons} fixed ones` : `computing ${nameOf(neurons)}`;
      return `${compared(own, rival)} ${than}`;
    });
    const rows = raced.flatMap(({ fff, dense }) => [fff, dense[0]]);
    const wrong = rows.filter((row) => !row.check.passed).length;
    const sentence = `For ${words(size)}, choosing 12 neurons ${joined(said)}.`;
    const worst = Math.max(...rows.map((row) => row.check.error ?? Infinity));
    get("race-verdict").replaceChildren(page.software ? sentence : element("b", {}, sentence));
    get("race-checked").textContent =
      (wrong ? `${wrong} of ${rows.length} lanes are WRONG. ` : `All lanes agree with the f64 reference in this run: the largest error is ${worst.toExponential(0)}. `) +
      `The tokens took ${count(raced[0]?.fff.leaves ?? 0)} different paths. Medians, by ${raced[0]?.fff.timing === "timestamps" ? "GPU timestamps" : "the clock"}. ` +
      raced.map(kernelOf).filter(Boolean).join(" ");
  }

  /** At equal work, which kernel the rival runs in. */
  const kernelOf = ({ dense: [rival, ...others] }: Race) => {
    const slower = others.find((other) => !!other.layer.cmm !== !!rival.layer.cmm);
    if (!slower) return "";
    const named = (row: Row) => (row.layer.cmm ? "the FFF kernel, as trees of one neuron" : "the kernels for dense layers");
    return `Fixed neurons are fastest in ${named(rival)}; in ${named(slower)} they take ${time(slower.seconds.median)}.`;
  };

  function draw(): void {
    const measured = [...results].sort(([a], [b]) => a - b);
    const sizes = [...new Set(measured.flatMap(([, bySize]) => [...bySize.keys()]))];
    const fff = sizes.map((size) => ({ x: size, y: typical(measured.flatMap(([, bySize]) => bySize.get(size) ?? [])).seconds.median }));
    const lines = [
      { name: "12 chosen", style: "fff", points: fff },
      ...measured.map(([neurons, bySize], index) => ({
        name: nameOf(neurons).replace(" neurons", ""),
        style: `dense dense-${index}`,
        points: [...bySize].map(([x, { dense: [rival] }]) => ({ x, y: rival.seconds.median })),
      })),
    ];
    chart(get("race-chart"), lines, "Time of a layer over the number of tokens at once");
    get("race-crossing").textContent = crossings(measured);
  }

  /** Where, of the sizes measured, larger dense layers overtake. */
  function crossings(measured: readonly [number, Map<number, Race>][]): string {
    const larger = measured.filter(([neurons, bySize]) => neurons > engaged() && bySize.size > 1);
    const won: string[] = [];
    const lost: string[] = [];
    for (const [neurons, bySize] of larger) {
      const from = [...bySize.values()].filter(({ fff, dense: [rival] }) => rival.seconds.median < fff.seconds.median).map(({ fff }) => fff.tokens);
      if (from.length) lost.push(`From ${words(Math.min(...from))} on, computing ${nameOf(neurons)} is faster.`);
      else won.push(nameOf(neurons));
    }
    return [won.length ? `At every size measured, choosing is faster than computing ${won.join(", or ")}.` : "", ...lost].join(" ").trim();
  }

  const layerIs = () =>
    page.model
      ? `Layer ${Math.floor(page.model.layers / 2) + 1} of FastMiniLM, ${page.model.hidden} wide, on what it really reads: your text's tokens, then the corpus'.`
      : "A layer of random weights, of the size of FastMiniLM's. With the model, it is FastMiniLM's own.";

  slider.addEventListener("input", () => ((get("race-size").textContent = count(tokens())), page.changed()));
  text.addEventListener("input", () => page.changed());
  against.addEventListener("change", () => page.changed());
  get("race-go").addEventListener("click", () => void run([tokens()]));
  get("race-all").addEventListener("click", () => {
    const most = Number(slider.max);
    void run(Array.from({ length: most / 2 + 1 }, (_, i) => 4 ** i));
  });

  return {
    settings: () => ({
      ...(text.value === TEXT ? {} : { text: text.value }),
      ...(slider.value === SIZE ? {} : { tokens: String(tokens()) }),
      ...(against.value === "each" ? {} : { against: against.value }),
    }),
    take(settings) {
      text.value = settings.get("text")?.slice(0, text.maxLength) ?? TEXT;
      const power = Math.log2(Number(settings.get("tokens")));
      slider.value = Number.isInteger(power) ? String(power) : SIZE;
      const wanted = settings.get("against");
      against.value = [...against.options].some(({ value }) => value === wanted) ? (wanted as string) : "each";
    },
    show() {
      get("race-size").textContent = count(tokens());
      get("race-layer").textContent = layerIs();
    },
  };
}

export const neuronsOf = ({ layer: { dmm, cmm } }: Row) => dmm?.neurons ?? cmm?.trees ?? 0;

const words = (tokens: number) => `${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`;

/** The same lane was measured beside each rival: of these the middle one, or of two the slower. */
function typical(raced: readonly Race[]): Row {
  const rows = raced.map(({ fff }) => fff).sort((a, b) => a.seconds.median - b.seconds.median);
  return rows[rows.length >> 1] as Row;
}

const ratio = (value: number) => (value < 10 ? value.toFixed(1) : count(Math.round(value)));

/** Ratios up to this are noise. */
const NOISE = 1.2;

/** One time beside another, in words: a difference is one if medians and fastest samples agree on it. */
export function compared({ seconds: own }: Row, { seconds: other }: Row): string {
  if (own.median === 0 || other.median === 0) return "is too short for this browser's clock beside";
  const differs = (by: "faster" | "slower") =>
    [other.median / own.median, other.min / own.min].every((times) => (by === "faster" ? times : 1 / times) > NOISE);
  if (differs("faster")) return `is ${ratio(other.median / own.median)} times as fast as`;
  if (differs("slower")) return `takes ${ratio(own.median / other.median)} times as long as`;
  return "takes about as long as";
}

const joined = (parts: readonly string[]) =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")}, and ${parts.at(-1)}`;
