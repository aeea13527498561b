/** What the page shows, as the fragment of its address: `#race?tokens=64`. It never leaves the browser, unless its visitor shares the link. */

export interface Link {
  view: string;
  settings: URLSearchParams;
}

export function read(): Link {
  const [view = "", settings = ""] = location.hash.slice(1).split("?", 2);
  return { view, settings: new URLSearchParams(settings) };
}

/** Replaces what the address says, without a new entry in the history. */
export function write(view: string, settings: Record<string, string>): void {
  const query = new URLSearchParams(settings).toString();
  history.replaceState(null, "", `${location.pathname}${location.search}#${view}${query && `?${query}`}`);
}
