/** Times as bars, all to one scale. */

import { element, still, time } from "./dom.js";

export interface Bar {
  name: string;
  /** A class of the style sheet, which gives the colour. */
  style: string;
  seconds: number;
}

/** `grow`: the bars are drawn from nothing, each for as long as it is. */
export function bars(box: HTMLElement, list: readonly Bar[], grow = false): void {
  const longest = Math.max(...list.map(({ seconds }) => seconds));
  const rows = list.map(({ name, style, seconds }) => {
    const length = element("i");
    // By the object model: the page's content security policy has no style attributes.
    length.style.setProperty("--share", String(longest > 0 ? seconds / longest : 0));
    return element("li", { class: style }, element("span", {}, name), element("span", { class: "track" }, length), element("b", {}, time(seconds)));
  });
  box.classList.toggle("grows", grow && !still() && !document.hidden);
  // Only once: not again whenever its view comes into sight.
  rows.reduce((last, row, i) => ((list[i]?.seconds ?? 0) === longest ? row : last)).onanimationend = () => box.classList.remove("grows");
  box.replaceChildren(...rows);
}
