import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { EntityKind } from "../../../common/storage/config-store.ts";
import type { Page, PageRequest } from "../../../common/storage/page.ts";
import type { Principal } from "../principal.ts";
import { mayRead, mayWrite } from "./rights.ts";

/** Items that a store is asked for at a time, and that are read for one page at most; a part with few or no items counts as this many. */
const CHUNK = 500;
const MOST_READ = 20_000;
const READ_AT_LEAST = 100;

/**
 * One page of the items that the caller may see. The page is full unless it is the last one, MOST_READ items were read for it, or the store's own
 * page was not. No token reveals what the caller may not see: it names the last item of the page, or is sealed.
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
        const isExact = last === chunk.items.length - 1 && (chunk.next === undefined || last === CHUNK - 1);
        // the page ends within the chunk: read again up to there, so that its token names an item that is shown
        const exact = isExact ? chunk : await list({ ...after, limit: last + 1 });
        const items = [...shown, ...exact.items.filter(isVisible)];
        const namesLast = exact.items.length === last + 1; // a shorter one may end at an item that is not shown
        return { items, next: namesLast || exact.next === undefined ? exact.next : seal(exact.next) };
      }
      if (chunk.next === undefined) return { items: shown, next: undefined };
      read += Math.max(chunk.items.length, READ_AT_LEAST);
      if (read >= MOST_READ) return { items: shown, next: seal(chunk.next) };
      after = { after: chunk.next };
      await turn(); // a store in this process answers without one
    }
  };
}

/** Returns the index of the `wanted`th visible item; undefined if there are fewer. */
function positionOf<T>(items: readonly T[], isVisible: (item: T) => boolean, wanted: number): number | undefined {
  let found = 0;
  for (const [index, item] of items.entries()) if (isVisible(item) && ++found === wanted) return index;
  return undefined;
}

/** Returns the test whether a caller may read an item, by the name that decides; undefined: all. */
export function readableBy<T>(principal: Principal, kind: EntityKind, nameOf: (item: T) => string): ((item: T) => boolean) | undefined {
  if (principal.kind !== "user") return () => false;
  const { rights } = principal;
  return rights.admin ? undefined : (item) => mayRead(rights, { kind, name: nameOf(item) });
}

/** Returns the test whether a caller may change an item, by the device_group that it belongs to; undefined: all. */
export function changeableBy<T>(principal: Principal, groupOf: (item: T) => string): ((item: T) => boolean) | undefined {
  if (principal.kind !== "user") return () => false;
  const { rights } = principal;
  return rights.admin ? undefined : (item) => mayWrite(rights, { kind: "device_group", name: groupOf(item) });
}

/** Makes the position of a page unreadable: where it names what the caller may not see. Every manager of the cluster can go on from it. */
export type PageSeal = {
  seal(position: string): string;
  /** The position of a token; a token that was not sealed is its own. */
  open(token: string): string;
};

/** No store's token begins so: a position is a name, or base64url. */
const MARK = "~";
const ALGORITHM = "aes-256-gcm";
const NONCE = 12;
const TAG = 16;

/** Seals under a key that is derived from the cluster key (HKDF with SHA-256, RFC 5869). */
export function createPageSeal(clusterKey: string): PageSeal {
  const key = Buffer.from(hkdfSync("sha256", clusterKey, "", "nebula page tokens 1", 32));
  return {
    seal(position) {
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv(ALGORITHM, key, nonce);
      const sealed = Buffer.concat([cipher.update(position, "utf8"), cipher.final()]);
      return MARK + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64url");
    },
    open(token) {
      if (!token.startsWith(MARK)) return token;
      const bytes = Buffer.from(token.slice(MARK.length), "base64url");
      if (bytes.length < NONCE + TAG) return token;
      try {
        const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, NONCE));
        decipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
        return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString("utf8");
      } catch {
        return token; // which no store takes as its own
      }
    },
  };
}
