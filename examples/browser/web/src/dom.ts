/** Small helpers for elements. */

export function get<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found as E;
}

type Child = Node | string;

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const count = (value: number) => value.toLocaleString("en");
export const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** A time in the unit that suits it. */
export function time(seconds: number): string {
  // Three digits, of which none is an exponent's: what rounds to 1,000 of a unit is 1 of the next.
  if (seconds >= 0.9995) return `${seconds.toFixed(2)} s`;
  if (seconds >= 0.9995e-3) return `${(seconds * 1e3).toPrecision(3)} ms`;
  return `${(seconds * 1e6).toPrecision(3)} µs`;
}

/** A colour of the page's palette. */
export const colour = (name: string) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Runs `work` for the newest value only: while it runs, of all that come only the last waits. */
export function latest<T>(work: (value: T) => Promise<void>): (value: T) => void {
  let next: { value: T } | null = null;
  let running = false;
  return async (value) => {
    next = { value };
    if (running) return;
    running = true;
    try {
      while (next) {
        const { value } = next as { value: T };
        next = null;
        await work(value);
      }
    } finally {
      running = false;
    }
  };
}
