import { BoundedMap } from "../bounded-map.ts";
import type { CachedConfig } from "./config-cache.ts";
import { type EntityKey, keyText } from "./config-store.ts";

/**
 * The revisions below which configs are invalid, by entity. Beyond its bound the highest evicted revision counts for every
 * entity from then on: that costs misses, never an old config.
 */
export class InvalidatedRevisions {
  readonly #least: BoundedMap<string, bigint>;
  #highestEvicted = 0n;

  /** @param most revisions that are kept one by one; the oldest are evicted first */
  constructor(most = 100_000) {
    this.#least = new BoundedMap(most, (evicted) => {
      if (evicted > this.#highestEvicted) this.#highestEvicted = evicted;
    });
  }

  /** Invalidates configs made from an older revision of the entity. */
  raise(key: EntityKey, revision: bigint): void {
    const id = keyText(key);
    const known = this.#least.get(id) ?? 0n;
    this.#least.set(id, known > revision ? known : revision);
  }

  isOutdated({ madeFrom }: CachedConfig): boolean {
    return madeFrom.some((entity) => entity.revision < this.#highestEvicted || entity.revision < (this.#least.get(keyText(entity)) ?? 0n));
  }
}
