/** What the page is about, before anything is pressed: a picture of a walk, and what it saves on this device. */

import { bars } from "./bars.js";
import { element, get } from "./dom.js";
import type { Page } from "./page.js";
import { compared, right } from "./race.js";

const NS = "http://www.w3.org/2000/svg";
/** Of a layer's twelve levels those that can be told apart. */
const LEVELS = 6;
const [WIDTH, HEIGHT] = [360, 190];
/** Which way the drawn walk goes at each level. */
const WALK = [1, 0, 0, 1, 0];

const TOKENS = 16;
const ALL = 4095;
const CHOSEN = 12;
/** Seconds that each lane is measured for, and runs before: few, since a question that is typed meanwhile waits for it. */
const SECONDS = 0.05;
const WARM_SECONDS = 0.01;

/** A tree, and a walk from its root. */
export function drawIdea(): void {
  const root = get("idea");
  const place = (level: number, index: number) => ({
    x: (WIDTH * (index + 0.5)) / 2 ** level,
    y: 14 + ((HEIGHT - 28) * level) / (LEVELS - 1),
  });
  const walk = WALK.reduce((nodes, way) => [...nodes, 2 * (nodes.at(-1) ?? 0) + way], [0]);
  const add = (name: string, attributes: Record<string, string | number>) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    root.append(made);
  };
  // What is lit lies above all that is not.
  for (const lit of [false, true]) {
    for (let level = 0; level < LEVELS; level++) {
      for (let index = 0; index < 2 ** level; index++) {
        if ((walk[level] === index) !== lit) continue;
        const { x, y } = place(level, index);
        const tone = lit ? "awake" : "asleep";
        if (level > 0) {
          const from = place(level - 1, index >> 1);
          add("line", { x1: from.x, y1: from.y, x2: x, y2: y, class: tone });
        }
        add("circle", { cx: x, cy: y, r: lit ? 5 : 4 - level * 0.35, class: tone });
      }
    }
  }
}

/** Measures a layer of FastMiniLM's size on this device, and says what choosing saves. */
export async function measureHere(page: Page): Promise<void> {
  const { engine } = page;
  const race = (neurons: number, seconds = SECONDS) => engine.race("", page.passages, 0, neurons, TOKENS, seconds);
  // The first runs are not measured: a browser compiles WebAssembly well only once it has been running.
  await race(CHOSEN, WARM_SECONDS);
  const [whole, equal] = [await race(ALL), await race(CHOSEN)];
  const [fixed, all] = [equal.dense[0], whole.dense[0]];
  if (![equal.fff, fixed, all].every(right)) {
    get("here").replaceChildren(element("span", { class: "wrong" }, `A layer gave a wrong result on ${page.device}: what choosing saves there cannot be said.`));
    return;
  }
  bars(get("here-bars"), [
    { name: `${CHOSEN} chosen of ${ALL.toLocaleString("en")}`, style: "fff", seconds: equal.fff.seconds.median },
    { name: `${CHOSEN} fixed neurons`, style: "dense", seconds: fixed.seconds.median },
    { name: `all ${ALL.toLocaleString("en")}`, style: "dense", seconds: all.seconds.median },
  ]);
  const sentence = `Choosing 12 ${compared(equal.fff, all)} computing all 4,095, and ${compared(equal.fff, fixed)} computing ${CHOSEN} fixed ones.`;
  get("here").replaceChildren(
    `One layer, ${TOKENS} tokens, measured just now on ${page.device}. `,
    page.software ? sentence : element("b", {}, sentence),
    " Fixed: a layer that has only 12 neurons and uses them for every token, which is as much work, with far less to choose from.",
  );
}
