/** Lines over logarithmic axes, as SVG. */

import { count, time } from "./dom.js";

export interface Line {
  name: string;
  /** A class of the style sheet, which gives the colour. */
  style: string;
  points: Point[];
}

interface Point {
  x: number;
  y: number;
}

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 300;
const [LEFT, TOP, BOTTOM] = [60, 24, 40];
/** Where there is less width than that, names stand above their lines rather than beside them. */
const NARROW = 520;

function svg(name: string, attributes: Record<string, string | number>, text = ""): SVGElement {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

/** What is drawn where, to be drawn again when there is another width. */
const drawn = new WeakMap<Element, { lines: Line[]; label: string }>();
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) draw(target as HTMLElement);
});

/** Draws seconds over tokens, as wide as the box is. */
export function chart(box: HTMLElement, lines: Line[], label: string): void {
  drawn.set(box, { lines, label });
  resized.observe(box);
  draw(box);
}

function draw(box: HTMLElement): void {
  const { lines: given = [], label = "" } = drawn.get(box) ?? {};
  // A time of 0, too short for the clock, has no place on a logarithmic axis: its grid would have no end.
  const lines = given.map((line) => ({ ...line, points: line.points.filter(({ x, y }) => x > 0 && y > 0 && y < Infinity) }));
  const all = lines.flatMap((line) => line.points);
  const WIDTH = box.clientWidth;
  if (all.length === 0 || WIDTH === 0) return box.replaceChildren();
  const narrow = WIDTH < NARROW;
  const longest = 7 * Math.max(...lines.map(({ name }) => name.length));
  const RIGHT = narrow ? 12 : 20 + longest;
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": label });
  box.replaceChildren(root);
  const span = (values: number[]): [number, number] => {
    const [least, most] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
    const pad = Math.max(0.08, (most - least) * 0.06, most - least < 0.3 ? 0.3 : 0);
    return [least - pad, most + pad];
  };
  const [x0, x1] = span(all.map((point) => point.x));
  const [y0, y1] = span(all.map((point) => point.y));
  const x = (value: number) => LEFT + ((Math.log10(value) - x0) / (x1 - x0)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - ((Math.log10(value) - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);

  for (let power = Math.ceil(y0); power <= y1; power++) {
    const at = y(10 ** power);
    root.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: "grid" }));
    root.append(svg("text", { x: LEFT - 8, y: at + 4, "text-anchor": "end" }, time(10 ** power).replace(/\.0+ /, " ")));
  }
  const ticks = [...new Set(all.map((point) => point.x))].sort((a, b) => a - b);
  let free = -Infinity;
  for (const tick of ticks) {
    const at = x(tick);
    if (at < free) continue;
    free = at + 36;
    root.append(svg("text", { x: at, y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, count(tick)));
  }
  root.append(
    svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "tokens at once"),
  );

  /** Whether a line from one point to another goes through a name. */
  const crosses = (from: Point, to: Point, { left, right, at }: { left: number; right: number; at: number }) => {
    const [x0, x1] = [Math.max(x(from.x), left), Math.min(x(to.x), right)];
    if (x0 > x1) return false;
    const along = (px: number) => y(from.y) + ((y(to.y) - y(from.y)) * (px - x(from.x))) / (x(to.x) - x(from.x) || 1);
    return Math.min(along(x0), along(x1)) < at + 3 && Math.max(along(x0), along(x1)) > at - 13;
  };
  const taken: { x: number; y: number }[] = [];
  const names: SVGElement[] = [];
  // From above to below, so that a name which makes way for another stays in its order.
  const ordered = lines
    .map((line) => ({ ...line, points: line.points.slice().sort((a, b) => a.x - b.x) }))
    .sort((a, b) => (b.points.at(-1)?.y ?? 0) - (a.points.at(-1)?.y ?? 0));
  for (const { name, style, points: sorted } of ordered) {
    const last = sorted.at(-1);
    if (!last) continue;
    const path = sorted.map((point, i) => `${i ? "L" : "M"}${x(point.x)} ${y(point.y)}`).join("");
    root.append(svg("path", { d: path, class: `line ${style}` }));
    for (const point of sorted) {
      const dot = svg("circle", { cx: x(point.x), cy: y(point.y), r: 3.5, class: `dot ${style}` });
      dot.append(svg("title", {}, `${name}: ${point.x} tokens, ${time(point.y)}`));
      root.append(dot);
    }
    // Where there is room a name stands to the right of its line's end, else above it, or below it where another name stands above.
    const width = 7 * name.length;
    const end = narrow ? Math.min(WIDTH - 2, Math.max(width, x(last.x) + width / 2)) : x(last.x) + 9;
    const over = sorted.filter((point) => x(point.x) >= end - width - 40).map((point) => y(point.y));
    const free = (at: number) => !taken.some((other) => Math.abs(other.y - at) < 15 && Math.abs(other.x - x(last.x)) < longest + 20);
    const [above, below] = [Math.min(...over) - 9, Math.min(Math.max(...over) + 18, HEIGHT - BOTTOM - 4)];
    const clear = (at: number) =>
      free(at) && !ordered.some(({ points }) => points.some((to, i) => crosses(points[i - 1] ?? to, to, { left: end - width, right: end, at })));
    let at = narrow ? ([above, below].find(clear) ?? below) : y(last.y) + 4;
    while (!free(at)) at += 15;
    taken.push({ x: x(last.x), y: at });
    names.push(svg("text", { x: end, y: at, "text-anchor": narrow ? "end" : "start", class: `name ${style}` }, name));
  }
  // Above all lines.
  root.append(...names);
}
