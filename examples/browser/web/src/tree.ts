/**
 * A layer's tree as rings: the root in the middle, each level a ring of twice as many nodes, so that all 4,095 neurons are seen at once.
 * How bright a node is says how many of the corpus' tokens came by; a walk is drawn over that.
 */

import { colour, still } from "./dom.js";

const HOLE = 0.05;
/** Milliseconds that a walk takes for a level. */
const PACE = 55;

export class Rings {
  private heat: Uint32Array = new Uint32Array();
  private path: number[] = [];
  private lit = 0;
  private frame = 0;
  private readonly background = document.createElement("canvas");

  constructor(
    private readonly canvas: HTMLCanvasElement,
    onPoint: (node: number | null) => void,
  ) {
    new ResizeObserver(() => this.redraw()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => onPoint(this.nodeAt(event)));
    canvas.addEventListener("pointerleave", () => onPoint(null));
  }

  private get levels(): number {
    return Math.round(Math.log2(Math.max(2, this.heat.length + 1)));
  }

  /** Tokens that engaged each node. */
  setHeat(heat: Uint32Array): void {
    this.heat = heat;
    this.redraw();
  }

  countOf(node: number): number {
    return this.heat[node] ?? 0;
  }

  /** Draws a walk; level by level, unless the visitor's system asks for stillness. */
  walk(path: number[], done: () => void = () => undefined): void {
    cancelAnimationFrame(this.frame);
    this.path = path;
    if (still() || document.hidden) {
      this.lit = path.length;
      this.paint();
      return done();
    }
    const start = performance.now();
    const step = (now: number) => {
      this.lit = Math.min(path.length, (now - start) / PACE);
      this.paint();
      if (this.lit < path.length) this.frame = requestAnimationFrame(step);
      else done();
    };
    this.frame = requestAnimationFrame(step);
  }

  redraw(): void {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (side === 0) return;
    for (const canvas of [this.canvas, this.background]) canvas.width = canvas.height = side;
    const context = this.background.getContext("2d");
    if (!context) return;
    const most = Math.log1p(Math.max(1, ...this.heat.subarray(0, 1)));
    context.fillStyle = colour("lit");
    for (let node = 0; node < this.heat.length; node++) {
      const heat = Math.log1p(this.heat[node] ?? 0) / most;
      context.globalAlpha = 0.05 + 0.75 * heat ** 1.3;
      this.segment(context, node, side);
      context.fill();
    }
    this.paint();
  }

  /** Level of a node and its place there. */
  private static placeOf(node: number): [level: number, place: number] {
    const level = Math.floor(Math.log2(node + 1));
    return [level, node + 1 - 2 ** level];
  }

  private radii(level: number, side: number): [number, number] {
    const outer = side / 2 - 2;
    const radius = (level: number) => outer * (HOLE + ((1 - HOLE) * level) / this.levels);
    return [level === 0 ? 0 : radius(level), radius(level + 1)];
  }

  private segment(context: CanvasRenderingContext2D, node: number, side: number): void {
    const [level, place] = Rings.placeOf(node);
    const [inner, outer] = this.radii(level, side);
    const turn = (2 * Math.PI) / 2 ** level;
    const from = place * turn - Math.PI / 2;
    const gap = level === 0 ? 0 : Math.min(0.9 / outer, turn * 0.12);
    const middle = side / 2;
    context.beginPath();
    context.arc(middle, middle, outer - 0.8, from + gap, from + turn - gap);
    if (inner > 0) context.arc(middle, middle, inner + 0.8, from + turn - gap, from + gap, true);
    context.closePath();
  }

  private paint(): void {
    const context = this.canvas.getContext("2d");
    const side = this.canvas.width;
    if (!context || side === 0) return;
    context.clearRect(0, 0, side, side);
    context.globalAlpha = 1;
    context.drawImage(this.background, 0, 0);
    const whole = Math.ceil(this.lit);
    context.fillStyle = context.shadowColor = colour("path");
    context.shadowBlur = 8 * devicePixelRatio;
    this.path.slice(0, whole).forEach((node, level) => {
      context.globalAlpha = level + 1 > this.lit ? this.lit - level : 1;
      this.segment(context, node, side);
      context.fill();
    });
    // Deep nodes are hairlines: a dot of fixed size marks where the walk stands.
    const last = this.path[whole - 1];
    if (last !== undefined) {
      const [level, place] = Rings.placeOf(last);
      const [inner, outer] = this.radii(level, side);
      const angle = ((place + 0.5) * 2 * Math.PI) / 2 ** level - Math.PI / 2;
      const reach = (inner + outer) / 2;
      context.globalAlpha = 1;
      context.beginPath();
      context.arc(
        side / 2 + (level ? reach * Math.cos(angle) : 0),
        side / 2 + (level ? reach * Math.sin(angle) : 0),
        3.5 * devicePixelRatio,
        0,
        2 * Math.PI,
      );
      context.fill();
    }
    context.shadowBlur = 0;
  }

  private nodeAt(event: PointerEvent): number | null {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    const reach = Math.hypot(x, y);
    const level = Array.from({ length: this.levels }, (_, i) => i).find((i) => reach < this.radii(i, box.width)[1]);
    if (level === undefined) return null;
    const turn = (Math.atan2(y, x) + Math.PI / 2 + 2 * Math.PI) % (2 * Math.PI);
    return 2 ** level - 1 + Math.min(2 ** level - 1, Math.floor((turn / (2 * Math.PI)) * 2 ** level));
  }
}
