import { setImmediate as turn } from "node:timers/promises";
import type { EntityKind, Page } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/report-store.ts";
import type { Principal } from "../rpc/call-context.ts";
import type { PageSeal } from "./page-seal.ts";
import { mayRead, mayWrite } from "./rights.ts";

/** Items that a store is asked for at a time, and that are read for one page at most. */
const CHUNK = 500;
const MOST_READ = 20_000;

/**
 * One page of the items that the caller may see. It is full unless it is the last one, or MOST_READ items were read for it. No token tells of what the caller
 * may not see: it names the last item of the page, or is sealed.
 * @param isVisible undefined: all are
 */
export type VisiblePages = <T>(
  list: (page: PageRequest) => Promise<Page<T>>,
  asked: PageRequest,
  isVisible: ((item: T) => boolean) | undefined,
) => Promise<Page<T>>;

export function createVisiblePages({ seal, open }: PageSeal): VisiblePages {
  return async (list, { after: token, limit }, isVisible) => {
    let after = token === undefined ? {} : { after: open(token) };
    if (isVisible === undefined) return list({ ...after, limit });
    const shown = [];
    for (let read = 0; ; ) {
      const chunk = await list({ ...after, limit: CHUNK });
      const last = positionOf(chunk.items, isVisible, limit - shown.length);
      if (last === undefined) shown.push(...chunk.items.filter(isVisible));
      else {
        // the page ends within the chunk: read again up to there, so that its token names an item that is shown
        const exact = last === chunk.items.length - 1 ? chunk : await list({ ...after, limit: last + 1 });
        return { items: [...shown, ...exact.items.filter(isVisible)], next: exact.next };
      }
      if (chunk.next === undefined) return { items: shown, next: undefined };
      read += chunk.items.length;
      if (read >= MOST_READ) return { items: shown, next: seal(chunk.next) };
      after = { after: chunk.next };
      await turn(); // a store in this process answers without one
    }
  };
}

/** Where the `wanted`th visible item is; undefined: there are fewer. */
function positionOf<T>(items: readonly T[], isVisible: (item: T) => boolean, wanted: number): number | undefined {
  let found = 0;
  for (const [index, item] of items.entries()) if (isVisible(item) && ++found === wanted) return index;
  return undefined;
}

/** Which items a caller may read by the name that decides; undefined: all. */
export function readableBy<T>(principal: Principal, kind: EntityKind, nameOf: (item: T) => string): ((item: T) => boolean) | undefined {
  if (principal.kind !== "user") return () => false;
  const { rights } = principal;
  return rights.admin ? undefined : (item) => mayRead(rights, { kind, name: nameOf(item) });
}

/** Which items a caller may change by the device_group that they belong to; undefined: all. */
export function changeableBy<T>(principal: Principal, groupOf: (item: T) => string): ((item: T) => boolean) | undefined {
  if (principal.kind !== "user") return () => false;
  const { rights } = principal;
  return rights.admin ? undefined : (item) => mayWrite(rights, { kind: "device_group", name: groupOf(item) });
}
