/** Semantic search, with the neurons that the question woke. */

import type { Answer } from "./answers.js";
import { colour, count, element, get, latest, time } from "./dom.js";
import { corpus, examples } from "./corpus.js";
import type { Page, View } from "./page.js";

const SHOWN = 8;

export function ask(page: Page): View {
  const query = get<HTMLInputElement>("query");
  const found = get("found");
  const own = get<HTMLTextAreaElement>("own-lines");

  const search = latest(async (text: string) => {
    if (!page.model || !page.indexed) return;
    if (text.trim() === "") return clear();
    try {
      render(text, await page.engine.ask(text, SHOWN));
    } catch (error) {
      page.failed(error);
    }
  });

  function clear(): void {
    found.replaceChildren();
    found.removeAttribute("aria-label");
    get("ask-cost").textContent = "Type a question, or take one of the examples.";
    get("fields").replaceChildren();
  }

  function render(question: string, answer: Answer): void {
    // While somebody types, what is shown may answer an earlier question: a reader, and the tests, are told which.
    found.setAttribute("aria-label", `The lines nearest to: ${question}`);
    const best = Math.max(...answer.found.map((line) => line.similarity), 0.01);
    found.replaceChildren(
      ...answer.found.map(({ text, similarity }) => {
        const bar = element("span", { class: "bar", style: `--share: ${Math.max(0, similarity / best)}` });
        return element("li", {}, bar, element("span", { class: "text" }, text), element("data", {}, similarity.toFixed(3)));
      }),
    );
    const { neurons = 0, engaged = 0, layers = 0 } = page.model ?? {};
    get("ask-cost").replaceChildren(
      element("b", {}, time(answer.milliseconds / 1e3)),
      ` for ${answer.tokens} tokens, from text to ranking, on ${page.device}. Each token woke `,
      element("b", {}, `${engaged} of ${count(neurons)}`),
      ` neurons in each of ${layers} layers:`,
    );
    get("fields").replaceChildren(
      ...answer.engaged.map((nodes, layer) => field(nodes, neurons, `layer ${layer + 1}: ${nodes.length} neurons awake`)),
    );
  }

  query.addEventListener("input", () => search(query.value));
  get("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    search(query.value);
  });
  get("examples").append(
    ...examples.map((text) => {
      const button = element("button", { type: "button", class: "chip" }, text);
      button.addEventListener("click", () => {
        query.value = text;
        search(text);
      });
      return button;
    }),
  );
  const use = async (lines: readonly string[]) => {
    await page.setLines(lines);
    search(query.value);
  };
  get("use-own").addEventListener("click", () => {
    const lines = own.value.split("\n").map((line) => line.trim());
    const some = lines.filter((line) => line !== "");
    get("own-note").textContent = some.length ? "" : "Paste at least one line first.";
    if (some.length) void use(some);
  });
  get("use-shipped").addEventListener("click", () => void use(corpus));

  return {
    show() {
      const ready = !!page.model && !!page.indexed;
      query.disabled = !ready;
      for (const button of get("examples").querySelectorAll("button")) button.disabled = !ready;
      get("ask-needs").hidden = ready;
      get("ask-answer").hidden = !ready;
      get("corpus-size").textContent = page.indexed
        ? `${count(page.indexed.lines)} lines, ${count(page.indexed.tokens)} tokens, embedded here in ${time(page.indexed.milliseconds / 1e3)}.`
        : "";
      if (ready) search(query.value);
    },
  };
}

/** All neurons of a layer as dots, those awake bright. */
function field(awake: number[], neurons: number, label: string): HTMLElement {
  const canvas = element("canvas", { role: "img", "aria-label": label });
  const side = Math.ceil(Math.sqrt(neurons));
  const cell = 3;
  canvas.width = canvas.height = side * cell;
  const context = canvas.getContext("2d");
  if (context) {
    context.fillStyle = colour("asleep");
    for (let node = 0; node < neurons; node++) {
      context.fillRect((node % side) * cell + 1, Math.floor(node / side) * cell + 1, 1, 1);
    }
    context.fillStyle = context.shadowColor = colour("path");
    context.shadowBlur = 3;
    for (const node of awake) {
      context.fillRect((node % side) * cell, Math.floor(node / side) * cell, cell, cell);
    }
  }
  return element("figure", {}, canvas, element("figcaption", {}, label));
}
