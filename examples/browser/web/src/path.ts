/** Each token's walk through the tree of a layer, and where the corpus goes in it. */

import type { Walk } from "./answers.js";
import { whose } from "./corpus.js";
import { count, element, get, latest } from "./dom.js";
import type { Page, View } from "./page.js";
import { Rings } from "./tree.js";

/** FastMiniLM's: a link may name one of them before the model is there. */
const LAYERS = 6;
const TEXT = "The owl hunts at night";

export function path(page: Page): View {
  const text = get<HTMLInputElement>("path-text");
  const layer = get<HTMLSelectElement>("path-layer");
  text.value = TEXT;
  /** The layer that a link asks for, until there are so many. */
  let wantedLayer = "0";
  let walk: Walk | null = null;
  let chosen = 0;
  /** What the rings' colours are of. */
  let heated: unknown[] = [];

  const point = (node: number | null) => {
    const tokens = `${whose(page.passages)} tokens came by.`;
    get("pointed").textContent =
      node === null
        ? `Each ring is a level of the tree, with the root in the middle; the stronger a neuron's colour, the more of ${tokens} Point at one.`
        : `Neuron ${count(node)}: ${count(rings.countOf(node))} of ${tokens}`;
  };
  const rings = new Rings(get<HTMLCanvasElement>("rings"), point);

  const update = latest(async (then: "keep" | "first") => {
    try {
      const index = Number(layer.value);
      const [engine, model] = [page.engine, page.model];
      const wanted = [engine, model, index, page.passages, page.indexed];
      if (wanted.some((what, i) => what !== heated[i]) && (!model || page.indexed)) {
        rings.setHeat(await engine.heat(index, page.passages));
        heated = wanted;
      }
      walk = await engine.walk(text.value.trim() || "nothing", index);
      if (then === "first") {
        // The longest word says more than an article or a [CLS].
        const lengths = walk.tokens.map(({ token }) => (token.startsWith("[") ? 0 : token.length));
        chosen = lengths.indexOf(Math.max(...lengths));
      }
      chosen = Math.min(chosen, walk.tokens.length - 1);
      render();
    } catch (error) {
      page.failed(error);
    }
  });

  function render(): void {
    if (!walk) return;
    get("path-tokens").replaceChildren(
      ...walk.tokens.map(({ token }, index) => {
        const pressed = String(index === chosen);
        const button = element("button", { type: "button", class: "chip token", "aria-pressed": pressed }, token);
        button.addEventListener("click", () => select(index));
        return button;
      }),
    );
    get("path-what").textContent = walk.trained
      ? "FastMiniLM's own tree. Its decisions are the device's" +
        (walk.flips ? `; ${walk.flips} of these walks are not the f64 reference's.` : ", and the f64 reference takes the same.")
      : "A seeded random tree, words as random vectors: it shows how the walk works. Load the model under Ask, and this is language.";
    select(chosen);
  }

  function select(index: number): void {
    const token = walk?.tokens[index];
    if (!walk || !token) return;
    chosen = index;
    get("path-tokens")
      .querySelectorAll("button")
      .forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    rings.walk(token.steps.map((step) => step.node));
    const last = token.steps.length - 1;
    get("steps").replaceChildren(
      ...token.steps.map(({ node, logit, activation }, level) => {
        const way = level === last ? "leaf" : logit > 0 ? "right" : "left";
        const sign = way === "right" ? "↷ right" : way === "left" ? "↶ left" : "● leaf";
        return element(
          "tr",
          {},
          element("td", {}, String(level)),
          element("td", {}, count(node)),
          element("td", {}, logit.toFixed(3)),
          element("td", { class: way }, sign),
          element("td", {}, activation.toFixed(3)),
        );
      }),
    );
    get("path-mark").textContent = markOf(token.token);
    get("engaged-count").textContent =
      `“${token.token}” computed ${token.steps.length} neurons; the other ${count(walk.nodes - token.steps.length)} were neither read nor computed.`;
  }

  text.addEventListener("input", () => (page.changed(), update("first")));
  layer.addEventListener("change", () => ((wantedLayer = layer.value), page.changed(), update("keep")));
  get("path-play").addEventListener("click", async () => {
    // All tokens in turn, once.
    const tokens = walk?.tokens ?? [];
    for (let index = 0; index < tokens.length && tokens === walk?.tokens; index++) {
      select(index);
      await new Promise((resolve) => setTimeout(resolve, 900));
    }
  });

  return {
    settings: () => ({
      ...(text.value === TEXT ? {} : { text: text.value }),
      ...(wantedLayer === "0" ? {} : { layer: String(Number(wantedLayer) + 1) }),
    }),
    take(settings) {
      text.value = settings.get("text")?.slice(0, text.maxLength) ?? TEXT;
      const wanted = Number(settings.get("layer") ?? 1);
      wantedLayer = String(Number.isInteger(wanted) && wanted > 0 && wanted <= LAYERS ? wanted - 1 : 0);
      layer.value = wantedLayer;
    },
    show() {
      const layers = page.model?.layers ?? 1;
      if (layer.options.length !== layers || layer.dataset["trained"] !== String(!!page.model)) {
        const named = (i: number) => (page.model ? `layer ${i + 1} of ${layers}` : "seeded layer");
        layer.replaceChildren(
          ...Array.from({ length: layers }, (_, i) => element("option", { value: String(i) }, named(i))),
        );
        layer.dataset["trained"] = String(!!page.model);
      }
      layer.value = Number(wantedLayer) < layers ? wantedLayer : "0";
      rings.redraw();
      point(null);
      update(walk?.trained === !!page.model ? "keep" : "first");
    },
  };
}

/** What a token is that is no word. */
function markOf(token: string): string {
  if (token === "[CLS]" || token === "[SEP]") return `${token} is a mark that every text gets, at its ${token === "[CLS]" ? "beginning" : "end"}.`;
  if (token.startsWith("##")) return "## says that this token goes on with the word before it: rare words are read in pieces.";
  if (token === "[UNK]") return "[UNK] stands for what the vocabulary does not have.";
  return "";
}
