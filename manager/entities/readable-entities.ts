/**
 * Lists of entities as far as a caller may read them.
 *
 * The grants decide which names are looked at, and only then is anything else of an entity read: a caller of few rights costs what its own entities cost.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { ConfigStore, EntityKind, StoredEntity } from "../../common/storage/config-store.ts";
import { PAGE_BYTES, type Page, type PageRequest, refusedPosition } from "../../common/storage/page.ts";
import { isName } from "../../common/validation/names.ts";
import type { Principal } from "../access/principal.ts";
import { type NameRange, readableRanges } from "../access/rights/rights.ts";

/** Names that are read at a time, and entities. */
const NAMES = 500;
const CHUNK = 64;

/** One page of the entities that the caller may read, by name, as ConfigStore.list answers it. Its token is the name of its last entity. */
export async function listReadable(
  store: Pick<ConfigStore, "list" | "names" | "getMany">,
  kind: EntityKind,
  principal: Principal,
  page: PageRequest,
  signal: AbortSignal,
): Promise<Page<StoredEntity>> {
  const ranges = rangesOf(principal, kind);
  if (ranges.some(isOfAll)) return store.list(kind, page, signal);
  const names = namesIn(store, kind, ranges, positionOf(page), signal);
  const items: StoredEntity[] = [];
  let size = 0;
  for (;;) {
    const chunk = await take(names, Math.min(CHUNK, page.limit + 1 - items.length));
    if (chunk.length === 0) return { items, next: undefined };
    const stored = await store.getMany(kind, chunk, { signal });
    for (const name of chunk) {
      const entity = stored.get(name);
      if (entity === undefined || entity.deleted) continue; // names may be of entities that were deleted a moment ago
      // the entity after the page's last one is read only to know that there is one
      if (items.length === page.limit || size >= PAGE_BYTES) return { items, next: items.at(-1)?.name };
      items.push(entity);
      size += entity.body.byteLength;
    }
  }
}

/** One page of the names alone. One that was deleted a moment ago may be among them. */
export async function listReadableNames(
  store: Pick<ConfigStore, "names">,
  kind: EntityKind,
  principal: Principal,
  page: PageRequest,
  signal: AbortSignal,
): Promise<Page<string>> {
  const names = namesIn(store, kind, rangesOf(principal, kind), positionOf(page), signal);
  const items = await take(names, page.limit);
  return { items, next: (await take(names, 1)).length === 0 ? undefined : items.at(-1) };
}

function rangesOf(principal: Principal, kind: EntityKind): readonly NameRange[] {
  return principal.kind === "user" ? readableRanges(principal.rights, kind) : [];
}

/** That of admins, and of who was granted `*`. */
function isOfAll({ after }: NameRange): boolean {
  return after === "";
}

function positionOf({ after = "" }: PageRequest): string {
  if (after !== "" && !isName(after)) throw refusedPosition(after);
  return after;
}

async function take<T>(items: AsyncIterator<T>, most: number): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < most) {
    const { done, value } = await items.next();
    if (done === true) break;
    taken.push(value);
  }
  return taken;
}

/** The names of the ranges, sorted, after a name. */
function namesIn(
  store: Pick<ConfigStore, "names">,
  kind: EntityKind,
  ranges: readonly NameRange[],
  after: string,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  const pages = new NamePages((from) => store.names(kind, { after: from, limit: NAMES }, signal));
  return walkRanges(ranges, after, (last) => pages.first(last));
}

/** The names of the ranges, sorted, after a name. @param first reads the first name after a text */
export async function* walkRanges(
  ranges: readonly NameRange[],
  after: string,
  first: (after: string) => Promise<string | undefined>,
): AsyncGenerator<string, void> {
  for (const range of ranges) {
    for (let last = after > range.after ? after : range.after; ; ) {
      const name = await first(last);
      if (name === undefined || !range.has(name)) break;
      yield name;
      last = name;
    }
  }
}

/** Sorted names, of which pages are read where they are asked for. */
export class NamePages {
  readonly #read: (after: string) => Promise<readonly string[]>;
  #page: readonly string[] = [];
  #at = 0;
  #isLast = false;

  constructor(read: (after: string) => Promise<readonly string[]>) {
    this.#read = read;
  }

  /** The first name after a text, which may not fall from call to call; undefined after the last name. */
  async first(after: string): Promise<string | undefined> {
    for (let name = this.#page[this.#at]; name !== undefined; name = this.#page[++this.#at]) if (name > after) return name;
    if (this.#isLast) return undefined;
    if (this.#page.length > 0) await turn(); // a store in this process answers without one
    this.#page = await this.#read(after); // it may be short and have a next one
    this.#at = 0;
    this.#isLast = this.#page.length === 0;
    return this.#page[0];
  }
}
