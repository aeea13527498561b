/** Semantic search, with the neurons that the question woke. */

import type { Answer, Found } from "./answers.js";
import { corpus, examples, title } from "./corpus.js";
import { colour, count, element, get, latest, time } from "./dom.js";
import { passagesOf, textOf } from "./own-text.js";
import type { Page, View } from "./page.js";

const SHOWN = 5;
/** Cosines between a question and a passage: questions that have nothing to do with the page's corpus stay below the first, with FastMiniLM 1x11. */
const LOOSE = 0.25;
const CLOSE = 0.45;

export function ask(page: Page): View {
  const query = get<HTMLInputElement>("query");
  const found = get("found");
  const own = get<HTMLTextAreaElement>("own-text");
  const file = get<HTMLInputElement>("own-file");
  const [first = ""] = examples;
  /** What was answered last, and in what: a change of colours, or a return to this view, asks nothing anew. */
  let last: { of: unknown[]; answer: Answer } | null = null;
  query.value = first;

  const search = latest(async (text: string) => {
    page.changed();
    if (text.trim() === "") return clear(page.passages === corpus ? "Type a question, or press one of the examples." : "Type a question about your text.");
    try {
      const of = [text, page.engine, page.passages, page.indexed];
      if (last && of.every((what, i) => what === last?.of[i])) return render(text, last.answer);
      const ready = page.model && page.indexed;
      const shipped = page.passages === corpus;
      const answer = ready ? await page.engine.ask(text, SHOWN) : shipped ? await page.engine.askShipped(text, SHOWN) : null;
      last = answer && { of, answer };
      if (answer) render(text, answer);
      else clear(needed(text));
    } catch (error) {
      page.failed(error);
    }
  });

  /** Why there is no answer, and what would bring one. */
  function needed(question: string): string {
    const [load, loading] = [get("load"), get("loading")];
    const how = !load.hidden ? `: ${get("load-size").textContent}, which the button loads` : !loading.hidden ? ", which is being loaded" : "";
    if (page.passages !== corpus) return `Your text is searched by the model${how}.`;
    if (examples.includes(question)) return `The answers that come with the page did not arrive. Without them the model is needed${how}.`;
    return `The questions above came with their answers. For any other the model is needed${how}.`;
  }

  function clear(why: string): void {
    found.replaceChildren();
    found.removeAttribute("aria-label");
    get("ask-verdict").textContent = why;
    for (const id of ["ask-cost", "fields"]) get(id).replaceChildren();
    get("ask-scale").hidden = true;
    press(query.value);
  }

  /** Shows which of the examples is asked. */
  function press(question: string): void {
    for (const button of get("examples").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.textContent === question));
  }

  function render(question: string, answer: Answer): void {
    // While somebody types, what is shown may answer an earlier question: a reader, and the tests, are told which.
    found.setAttribute("aria-label", `What is nearest to: ${question}`);
    press(question);
    const near = answer.found.filter(({ similarity }) => similarity >= LOOSE);
    found.replaceChildren(...(near.length ? near : answer.found.slice(0, 1)).map(line));
    found.classList.toggle("far", near.length === 0);
    const best = answer.found[0]?.similarity ?? 0;
    get("ask-verdict").textContent = near.length ? "" : `Nothing close. The nearest of ${count(page.passages.length)} passages scores ${best.toFixed(2)}:`;
    get("ask-scale").hidden = false;
    const { neurons, engaged, layers } = page.model ?? { neurons: 4095, engaged: 12, layers: answer.engaged.length };
    get("ask-cost").replaceChildren(
      ...(answer.milliseconds === null
        ? ["This answer came with the page. "]
        : [element("b", {}, time(answer.milliseconds / 1e3)), ` from the question to this list, on ${page.device}. `]),
      `Each of the question's ${answer.tokens} tokens computed `,
      element("b", {}, `${engaged} of ${count(neurons)}`),
      ` neurons in each of ${layers} layers. Lit are those that any of them computed:`,
    );
    get("fields").replaceChildren(
      ...answer.engaged.map((nodes, layer) => field(nodes, neurons, `layer ${layer + 1}: ${count(nodes.length)}`)),
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

  const note = (words: string) => (get("own-note").textContent = words);
  async function useOwn(text: string, name?: string): Promise<void> {
    try {
      const passages = passagesOf(text, name);
      if (!page.model) {
        const then = get("loading").hidden ? ": load it first" : ", which is being loaded: try again when it is there";
        return void note(`A text of your own is searched by the model${then}.`);
      }
      note("");
      // The page's own questions are about the page's own corpus.
      if (examples.includes(query.value)) query.value = "";
      await page.setPassages(passages);
      query.focus();
    } catch (error) {
      note((error as Error).message);
    }
  }
  get("use-own").addEventListener("click", () => void useOwn(own.value));
  file.addEventListener("change", async () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    // The same file may have changed when it is chosen again.
    file.value = "";
    await textOf(chosen).then((text) => useOwn(text, chosen.name), (error: Error) => note(error.message));
  });
  get("use-shipped").addEventListener("click", () => {
    note("");
    void page.setPassages(corpus);
  });

  return {
    settings: (): Record<string, string> => (query.value === first ? {} : { q: query.value }),
    take: (settings) => (query.value = settings.get("q")?.slice(0, query.maxLength) ?? first),
    show() {
      const shipped = page.passages === corpus;
      get("ask-title").textContent = `Ask ${shipped ? title : "your text"}`;
      get("ask-needs").hidden = !!page.model;
      get("examples").hidden = !shipped;
      get("use-shipped").hidden = shipped;
      get("corpus-size").textContent = sizeOf(page);
      search(query.value);
    },
  };
}

/** How much is searched, and where its vectors are from; before the model is there that is not known. */
function sizeOf({ passages, indexed }: Page): string {
  const size = `${count(passages.length)} ${passages.length === 1 ? "passage" : "passages"}`;
  if (!indexed) return `${size}.`;
  if (indexed.milliseconds === null) return `${size}, whose vectors came with the page.`;
  return `${size}, ${count(indexed.tokens)} tokens, embedded here in ${time(indexed.milliseconds / 1e3)}.`;
}

function line({ text, place, similarity }: Found): HTMLElement {
  const length = element("i");
  length.style.setProperty("--share", String(Math.max(0, similarity)));
  return element(
    "li",
    { class: similarity >= CLOSE ? "close" : "loose" },
    element("span", { class: "text" }, text),
    element("span", { class: "place" }, place ?? ""),
    element("span", { class: "score" }, element("span", { class: "track" }, length), element("data", { value: String(similarity) }, similarity.toFixed(2))),
  );
}

/** All neurons of a layer as dots, those awake bright. */
function field(awake: number[], neurons: number, label: string): HTMLElement {
  const canvas = element("canvas", { role: "img", "aria-label": `${label} of ${count(neurons)} neurons computed` });
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
