import type { EntityKey } from "../../common/storage/config-store.ts";
import { keyText } from "./entity-index.ts";
import type { LoadedConfig } from "./load-config.ts";
import type { SlotGroup, StreamSlot } from "./stream-slot.ts";
import type { WatchAnswer } from "./watch-answer.ts";

/** What a group asks of the hub that it is in. */
export type GroupHub = {
  /** Asked before every answer: whether what is known is from before a standstill of this process. */
  standstill(): boolean;
  now(): number;
  pushed(): void;
};

/** One device_group that is watched here: its streams, and what they are told. */
export class GroupWatch implements SlotGroup {
  readonly name: string;
  /** When the answer changed last, monotonic milliseconds. */
  changedAt = 0;
  readonly streams = new Set<StreamSlot<GroupWatch>>();
  /** How many of the streams are a gateway's, which follows the group for workers of the original that poll it. */
  gateways = 0;
  readonly #hub: GroupHub;
  #loaded: LoadedConfig | undefined;
  #revisions: ReadonlyMap<string, bigint> = new Map();
  #trusted = false;

  constructor(name: string, hub: GroupHub) {
    this.name = name;
    this.#hub = hub;
  }

  /** What was looked up last, also where it may not be told any more; undefined before the first time. */
  get loaded(): LoadedConfig | undefined {
    return this.#loaded;
  }

  get answer(): WatchAnswer | undefined {
    this.#hub.standstill(); // distrusts this group where it was one
    return this.#trusted ? this.#loaded?.answer : undefined;
  }

  /** The revision of an entity that the group was made from; -1: it was not. */
  revisionOf(key: EntityKey): bigint {
    return this.#revisions.get(keyText(key)) ?? -1n;
  }

  /** Whether there is an answer that may be told. */
  get trusted(): boolean {
    return this.#trusted;
  }

  set(loaded: LoadedConfig): void {
    this.#loaded = loaded;
    this.#revisions = new Map(loaded.madeFrom.map((entity) => [keyText(entity), entity.revision]));
    this.#trusted = true;
  }

  /** What is known may be old: nothing is told before it was looked up anew. */
  distrust(): void {
    this.#trusted = false;
  }

  now(): number {
    return this.#hub.now();
  }

  pushed(): void {
    this.#hub.pushed();
  }
}
