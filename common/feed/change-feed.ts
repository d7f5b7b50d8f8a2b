import type { EntityKey } from "../storage/config-store.ts";

/** What is announced. Best effort: an event may be lost, doubled or late; it is a reason to look, never the truth. */
export type FeedEvent = Readonly<
  | { kind: "entity"; entity: EntityKey; revision: bigint }
  /** The rights of a credential, or of everybody whom a user_group names, changed. */
  | { kind: "access"; subject: string }
  /** A device's newest status, for those who follow its group. */
  | { kind: "status"; deviceGroup: string; payload: Uint8Array }
>;

export type FeedListener = (event: FeedEvent) => void;

/** How managers, gateway and reporter tell each other that something changed. */
export interface ChangeFeed extends AsyncDisposable {
  /** Announces; never rejects (a feed that is down loses the event, and counts it). */
  publish(event: FeedEvent): Promise<void>;
  /** Listens to entity and access events, and to the status events of the groups that `followStatus` named. */
  subscribe(listener: FeedListener): Disposable;
  /** Has status events of a group delivered; dispose to end it. */
  followStatus(deviceGroup: string): Disposable;
}
