/**
 * A list that is read page by page as it is scrolled: only the pages that are looked at are read, and read again.
 *
 * P1 A page begins where the page before it ends. Where a page that is read again ends elsewhere, the pages after it that
 *    were read are read again from there, so no row is left out or shown twice.
 * P2 One read asks for at most MOST_PAGES that are new, or begin elsewhere than before; what is after them is read when it is looked at.
 */

export type PageOf<T> = Readonly<{ items: readonly T[]; nextPageToken: string }>;

export type FetchPage<T> = (pageToken: string, signal: AbortSignal) => Promise<PageOf<T>>;

/** Rows of a list, from 0; `last` is not among them. */
export type Range = Readonly<{ first: number; last: number }>;

export type ListState<T> = Readonly<{
  items: readonly T[];
  /** Whether there are rows after these. */
  hasMore: boolean;
}>;

/** A filter may leave page after page empty, and in an order by what changes every page may begin elsewhere (P2). */
const MOST_PAGES = 20;

type Kept<T> = Readonly<{ token: string; page: PageOf<T> }>;

export class PagedList<T> {
  readonly #fetch: FetchPage<T>;
  #pages: readonly Kept<T>[] = [];

  constructor(fetch: FetchPage<T>) {
    this.#fetch = fetch;
  }

  /** Reads the pages of these rows, again where they were read before, and those before them that were never read. */
  async read({ first, last }: Range, signal: AbortSignal): Promise<ListState<T>> {
    const pages: Kept<T>[] = [];
    let token = "";
    let rows = 0;
    let asked = 0;
    for (let index = 0; ; index++) {
      const known = this.#pages[index];
      const isNeeded = rows < last || index === 0;
      const isMoved = known !== undefined && known.token !== token; // P1
      if (known === undefined && !isNeeded) break;
      if ((known === undefined || isMoved) && ++asked > MOST_PAGES) break; // P2
      const isInView = isNeeded && (known === undefined || rows + Math.max(1, known.page.items.length) > first); // the place of an empty page is in view, too
      const page = known !== undefined && !isInView && !isMoved ? known.page : await this.#fetch(token, signal);
      pages.push({ token, page });
      rows += page.items.length;
      token = page.nextPageToken;
      if (token === "") break;
    }
    this.#pages = pages;
    return { items: pages.flatMap(({ page }) => page.items), hasMore: token !== "" };
  }
}
