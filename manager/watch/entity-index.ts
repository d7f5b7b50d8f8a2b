import type { EntityKey } from "../../common/storage/config-store.ts";

/** One string per entity, for maps. */
export function keyText({ kind, name }: EntityKey): string {
  return `${kind}/${name}`;
}

type Entry<Group> = { readonly key: EntityKey; readonly groups: Set<Group> };

/** Which groups were made from which entity. */
export class EntityIndex<Group> {
  readonly #byKey = new Map<string, Entry<Group>>();

  /** The group is made from these entities now, and from those before no more. */
  update(group: Group, before: readonly EntityKey[], now: readonly EntityKey[]): void {
    const kept = new Set(now.map(keyText));
    for (const key of before) if (!kept.has(keyText(key))) this.#remove(group, key);
    for (const key of now) this.#add(group, key);
  }

  groupsOf(key: EntityKey): Iterable<Group> {
    return this.#byKey.get(keyText(key))?.groups ?? [];
  }

  /** Every distinct entity that some group was made from. */
  keys(): readonly EntityKey[] {
    return [...this.#byKey.values()].map(({ key }) => key);
  }

  #add(group: Group, key: EntityKey): void {
    const text = keyText(key);
    const entry = this.#byKey.get(text);
    if (entry === undefined) this.#byKey.set(text, { key, groups: new Set([group]) });
    else entry.groups.add(group);
  }

  #remove(group: Group, key: EntityKey): void {
    const text = keyText(key);
    const entry = this.#byKey.get(text);
    if (entry === undefined) return;
    entry.groups.delete(group);
    if (entry.groups.size === 0) this.#byKey.delete(text);
  }
}
