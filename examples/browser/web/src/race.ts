/** The same tokens through an FFF layer and through dense ones, on the visitor's device. */

import type { Race, Row } from "./answers.js";
import { type Bar, bars } from "./bars.js";
import { chart } from "./chart.js";
import { whose } from "./corpus.js";
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
  /** What has been measured, by the dense layer's neurons and by tokens; on one device, with one layer and one text alone. */
  let results = new Map<number, Map<number, Race>>();
  let resultsOf: unknown[] = [];

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
    get("race-checked").textContent = "";
    try {
      const { engine, model, passages } = page;
      const layer = model ? Math.floor(model.layers / 2) : 0;
      const given = text.value;
      const of = [engine, model, passages, given];
      if (of.some((what, i) => what !== resultsOf[i])) results = new Map();
      resultsOf = of;
      for (const size of sizes) {
        const raced: Race[] = [];
        for (const neurons of rivals()) {
          if (page.model !== model) return void (get("race-verdict").textContent = "The model has arrived meanwhile: race again, on its own layer.");
          get("race-verdict").textContent = `Measuring ${words(size)} against ${neurons === engaged() ? "12 fixed neurons" : `${count(neurons)} neurons`}…`;
          const result = await engine.race(given, passages, layer, neurons, size, SECONDS);
          raced.push(result);
          if (![result.fff, result.dense[0]].every(right)) continue;
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
    const rows = raced.flatMap(({ fff, dense }) => [fff, dense[0]]);
    const wrong = rows.filter((row) => !right(row)).length;
    if (wrong) {
      get("race-lanes").replaceChildren();
      const sentence = `For ${words(size)}, ${wrong} of ${rows.length} lanes gave a wrong result: their times say nothing.`;
      get("race-verdict").replaceChildren(element("span", { class: "wrong" }, sentence));
      get("race-checked").textContent = "";
      return;
    }
    const own = typical(raced);
    const said = raced.map(({ dense: [rival] }) => {
      const neurons = neuronsOf(rival);
      const than = neurons === engaged() ? `computing ${neurons} fixed ones` : `computing ${nameOf(neurons)}`;
      return `${compared(own, rival)} ${than}`;
    });
    const sentence = `For ${words(size)}, choosing 12 neurons ${joined(said)}.`;
    const worst = Math.max(...rows.map((row) => row.check.error ?? Infinity));
    get("race-verdict").replaceChildren(page.software ? sentence : element("b", {}, sentence));
    get("race-checked").textContent =
      `All lanes agree with the f64 reference in this run: the largest error is ${worst.toExponential(0)}. ` +
      `The tokens took ${paths(raced[0]?.fff.leaves ?? 0)}. Medians, by ${raced[0]?.fff.timing === "timestamps" ? "GPU timestamps" : "the clock"}. ` +
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
    // One size has no line; the bars show it.
    chart(get("race-chart"), sizes.length > 1 ? lines : [], "Time of a layer over the number of tokens at once");
    get("race-crossing").textContent = crossings(measured);
  }

  /** Where larger dense layers overtake, if all sizes measured agree on it. */
  function crossings(measured: readonly [number, Map<number, Race>][]): string {
    const won: string[] = [];
    const lost: string[] = [];
    for (const [neurons, bySize] of measured) {
      if (neurons <= engaged() || bySize.size < 2) continue;
      const races = [...bySize.values()].sort((a, b) => a.fff.tokens - b.fff.tokens);
      const from = overtakes(races);
      if (from === "never") won.push(nameOf(neurons));
      else if (from !== null) lost.push(`${from === races.at(-1)?.fff.tokens ? `At ${words(from)}` : `From ${words(from)} on`}, computing ${nameOf(neurons)} is faster.`);
    }
    return [won.length ? `At every size measured, choosing is faster than computing ${won.join(", or ")}.` : "", ...lost].join(" ").trim();
  }

  const layerIs = () =>
    page.model
      ? `Layer ${Math.floor(page.model.layers / 2) + 1} of FastMiniLM, ${page.model.hidden} wide, on what it really reads: the line below, then ${whose(page.passages)} tokens.`
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

const neuronsOf = ({ layer: { dmm, cmm } }: Row) => dmm?.neurons ?? cmm?.trees ?? 0;

/** Whether its result agrees with the reference: of one that does not, the time says nothing. */
export const right = ({ check }: Row) => check.passed;

const paths = (leaves: number) => (leaves === 1 ? "one path" : `${count(leaves)} different paths`);
const words = (tokens: number) => `${count(tokens)} ${tokens === 1 ? "token" : "tokens"}`;

/** The same lane was measured beside each rival: of these the middle one, or of two the slower. */
function typical(raced: readonly Race[]): Row {
  const rows = raced.map(({ fff }) => fff).sort((a, b) => a.seconds.median - b.seconds.median);
  return rows[rows.length >> 1] as Row;
}

export const ratio = (value: number) => (value < 1 ? value.toPrecision(2) : value < 10 ? value.toFixed(1) : count(Math.round(value)));

/** Ratios up to this are noise. */
const NOISE = 1.2;

/** Whether a row takes less time than another: medians and fastest samples agree on it, and the clock could tell. */
export const faster = ({ seconds: own }: Row, { seconds: other }: Row) =>
  own.median > 0 && other.median / own.median > NOISE && other.min / own.min > NOISE;

/** From how many tokens on computing all is faster, of races in the order of their tokens; null where larger ones do not agree with that, or none tells. */
export function overtakes(races: readonly Race[]): number | "never" | null {
  const winners = races.map(({ fff, dense: [rival] }) => (faster(fff, rival) ? "chosen" : faster(rival, fff) ? "all" : "neither"));
  if (winners.every((winner) => winner === "chosen")) return "never";
  const from = winners.indexOf("all");
  return from >= 0 && winners.slice(from).every((winner) => winner === "all") ? (races[from]?.fff.tokens ?? null) : null;
}

/** One time beside another, in words. */
export function compared(own: Row, other: Row): string {
  const [a, b] = [own.seconds.median, other.seconds.median];
  if (a === 0 || b === 0) return "is too short for this browser's clock beside";
  if (faster(own, other)) return `is ${ratio(b / a)} times as fast as`;
  if (faster(other, own)) return `takes ${ratio(a / b)} times as long as`;
  return "takes about as long as";
}

const joined = (parts: readonly string[]) =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")}, and ${parts.at(-1)}`;
