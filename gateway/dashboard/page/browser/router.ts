import { type ReadonlySignal, signal } from "@preact/signals";

/** An address within the dashboard. */
export type Address = Readonly<{ path: string; query: URLSearchParams }>;

export type Router = Readonly<{
  address: ReadonlySignal<Address>;
  /** Shows another address. `replaces`: the one of now does not stay in the history, as while a filter is typed. */
  go: (to: string, how?: Readonly<{ replaces: boolean }>) => void;
  /** Has each way away from the address of now ask first, until it is disposed of: false stays. */
  hold: (mayLeave: () => boolean) => Disposable;
  /** Asks those who hold the address. */
  mayLeave: () => boolean;
}>;

/** The address of the browser's window. Links within the dashboard change it without loading a document. */
export function createRouter(): Router {
  const address = signal(addressOf(new URL(location.href)));
  const holders = new Set<() => boolean>();
  const mayLeave = () => [...holders].every((asked) => asked());
  let shown = location.href;
  const go: Router["go"] = (to, how) => {
    const url = new URL(to, location.href);
    if (!mayLeave()) return;
    if (how?.replaces === true) history.replaceState(null, "", url);
    else history.pushState(null, "", url);
    shown = url.href;
    address.value = addressOf(url);
    if (how?.replaces !== true) scrollTo(0, 0);
  };
  addEventListener("popstate", () => {
    const { pathname, search } = new URL(shown);
    const isWithin = location.pathname === pathname && location.search === search; // another place of the same view
    if (!isWithin && !mayLeave()) return history.pushState(null, "", shown); // the browser is there already
    shown = location.href;
    if (!isWithin) address.value = addressOf(new URL(shown));
  });
  document.addEventListener("click", (event) => {
    const to = linkWithin(event);
    if (to === undefined) return;
    event.preventDefault();
    go(to);
  });
  const hold: Router["hold"] = (asked) => {
    holders.add(asked);
    return { [Symbol.dispose]: () => holders.delete(asked) };
  };
  return { address, go, hold, mayLeave };
}

function addressOf({ pathname, searchParams }: URL): Address {
  return { path: pathname, query: searchParams };
}

/** Where a click leads within the dashboard; undefined if the browser itself follows it, as within a view, or it is not of a link. */
function linkWithin(event: MouseEvent): string | undefined {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return undefined;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target !== "" || link.hasAttribute("download")) return undefined;
  const { origin, pathname, search, hash, href } = new URL(link.href);
  if (hash !== "" && pathname === location.pathname && search === location.search) return undefined;
  return origin === location.origin && pathname.startsWith("/ui/") ? href : undefined;
}
