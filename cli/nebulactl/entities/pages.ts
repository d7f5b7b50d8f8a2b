/** One page of a list. */
export type Page<T> = Readonly<{ items: readonly T[]; nextPageToken: string }>;

/** The most that a page may hold. */
const LARGEST_PAGE = 1000;

export type Paging = Readonly<{
  /** At most this many items. undefined: all. */
  limit?: number | undefined;
  /** Where to go on from. Empty: at the beginning. */
  from?: string;
  /** Told where to go on when the limit ended the list. */
  onMore?: (token: string) => void;
}>;

/** The items of every page, one page read ahead of none: the next one is asked for when the last is used up. */
export async function* allPages<T>(
  fetch: (size: number, token: string) => Promise<Page<T>>,
  { limit = Infinity, from = "", onMore }: Paging = {},
): AsyncGenerator<T, void> {
  let token = from;
  for (let left = limit; left > 0; ) {
    const page = await fetch(Math.min(left, LARGEST_PAGE), token);
    yield* page.items;
    left -= page.items.length;
    token = page.nextPageToken;
    if (token === "") return;
  }
  onMore?.(token);
}
