import type { ObservedContainer } from "../container-runtime.ts";

/** How long an entry may be used though no event spoke against it, milliseconds of the monotonic clock. */
const USABLE_MS = 60_000;
/** Ages are spread by up to this time, so that a thousand containers are never inspected at once. */
const SPREAD_MS = 15_000;

type Entry = Readonly<{ shown: string; until: number; container: ObservedContainer }>;
type Inspect = { readonly id: string; stale: boolean };

/**
 * Results of inspects, kept so that a list costs one call and not one per container.
 * 1. An entry is used only while the engine's events are being read, for 45 to 60 s, and only where the list shows the
 *    same as when it was made.
 * 2. An event about a container, or a call that changes it, drops its entry, and keeps an inspect that is under way from becoming one.
 * 3. The newest result is kept while the container is listed: it replaces what no list shows while
 *    there can be no inspect.
 */
export class InspectCache {
  readonly #entries = new Map<string, Entry>();
  readonly #newest = new Map<string, ObservedContainer>(); // 3
  readonly #underWay = new Set<Inspect>();
  #watchers = 0;

  /** Events are being read from now on; returns what ends that. */
  watch(): () => void {
    if (this.#watchers === 0) this.#forget(() => true); // 1: what happened before went unseen
    this.#watchers++;
    return () => {
      this.#watchers--;
    };
  }

  /** Something changed, or may have changed, a container. */
  touch(id: string): void {
    this.#forget((known) => known === id); // 2
  }

  /** A listed container as inspect shows it, kept or asked for with `inspect`. @param now milliseconds of the monotonic clock */
  async get(listed: ObservedContainer, now: number, inspect: () => Promise<ObservedContainer | undefined>): Promise<ObservedContainer | undefined> {
    const entry = this.#entries.get(listed.id);
    if (this.#watchers > 0 && entry !== undefined && entry.shown === shown(listed) && now < entry.until) return entry.container; // 1
    const underWay: Inspect = { id: listed.id, stale: false };
    this.#underWay.add(underWay);
    try {
      const container = await inspect();
      if (container === undefined) return undefined;
      this.#newest.set(listed.id, container);
      if (!underWay.stale) this.#entries.set(listed.id, { shown: shown(listed), until: now + USABLE_MS - spread(listed.id), container }); // 2
      return container;
    } finally {
      this.#underWay.delete(underWay);
    }
  }

  /** A listed container without an inspect at this look. @param failure why; undefined: it was not asked for */
  listedOnly(listed: ObservedContainer, failure: string | undefined): ObservedContainer {
    const newest = this.#newest.get(listed.id); // 3
    const hostPorts = listed.hostPorts.length > 0 ? listed.hostPorts : (newest?.hostPorts ?? []);
    return { ...listed, ...(newest && { startedAt: newest.startedAt, restartCount: newest.restartCount }), hostPorts, listedOnly: { failure } };
  }

  /** Forgets what is not listed any more. */
  retain(ids: ReadonlySet<string>): void {
    for (const id of this.#entries.keys()) if (!ids.has(id)) this.#entries.delete(id);
    for (const id of this.#newest.keys()) if (!ids.has(id)) this.#newest.delete(id);
  }

  #forget(which: (id: string) => boolean): void {
    for (const id of this.#entries.keys()) if (which(id)) this.#entries.delete(id);
    for (const inspect of this.#underWay) if (which(inspect.id)) inspect.stale = true;
  }
}

/** A share of the spread that is the same for a container each time; its id is a random hexadecimal number. */
function spread(id: string): number {
  return ((Number.parseInt(id.slice(0, 8), 16) || 0) / 2 ** 32) * SPREAD_MS;
}

function shown({ name, phase, health, image, networks }: ObservedContainer): string {
  return JSON.stringify([name, phase, health, image, networks]);
}
