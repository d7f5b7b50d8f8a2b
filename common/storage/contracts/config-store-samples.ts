import { randomBytes } from "node:crypto";
import type { ConfigStore, EntityWrite, StoredEntity } from "../config-store.ts";

/** A name that no other test uses, and that others may be made of: `web-3f9c02d1`. */
export function freshName(base: string): string {
  return `${base}-${randomBytes(6).toString("hex")}`;
}

/** A write of an app that takes it from `expected` to the next revision. */
export function appWrite(name: string, expected: bigint, more: Partial<EntityWrite> = {}): EntityWrite {
  return {
    kind: "app",
    name,
    expected,
    revision: expected + 1n,
    deleted: false,
    body: new TextEncoder().encode(`${name}@${expected + 1n}`), // no Buffer, as an encoded message is
    action: expected === 0n ? "create" : "update",
    changedAt: 1_700_000_000_000 + Number(expected),
    changedBy: "alice",
    ...more,
  };
}

export function groupWrite(
  name: string,
  expected: bigint,
  apps: readonly string[],
  cronJobs: readonly string[] = [],
  more: Partial<EntityWrite> = {},
): EntityWrite {
  return appWrite(name, expected, { kind: "device_group", members: { apps, cronJobs }, ...more });
}

export function bodyOf(entity: StoredEntity | undefined): string {
  return Buffer.from(entity?.body ?? []).toString();
}

/** The names of a kind that begin with a prefix, as its list has them, and how the pages were. */
export async function listFrom(
  store: Pick<ConfigStore, "list">,
  prefix: string,
  limit: number,
): Promise<{ names: string[]; pages: number; fullest: number; largest: number }> {
  const names: string[] = [];
  let [fullest, largest] = [0, 0];
  for (let pages = 1, after = prefix; ; pages++) {
    const page = await store.list("app", { limit, after });
    const listed = page.items.filter(({ name }) => name.startsWith(prefix));
    names.push(...listed.map(({ name }) => name));
    fullest = Math.max(fullest, page.items.length);
    largest = Math.max(
      largest,
      page.items.reduce((bytes, { body }) => bytes + body.byteLength, 0),
    );
    if (page.next === undefined || listed.length < page.items.length) return { names, pages, fullest, largest };
    after = page.next;
  }
}
