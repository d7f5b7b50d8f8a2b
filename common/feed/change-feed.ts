import type { PresenceChange, StatusChange } from "../../gen/nebula/v1/device_pb.ts";
import type { EntityKey } from "../storage/config-store.ts";

/** Summaries and watches of devices of a group that changed. Neither it nor what it holds may be changed. */
export type StatusNews = Readonly<{ changes: readonly StatusChange[]; presence: readonly PresenceChange[] }>;

/**
 * An announcement. Best effort: it may be lost, doubled or late; it is a reason to read the store, never proof.
 */
export type Announcement = Readonly<
  | { kind: "entity"; entity: EntityKey; revision: bigint }
  /** The rights of a credential, or of all members of a user_group, changed. */
  | { kind: "access"; subject: string }
  /** The devices of a group that one batch of reports changed, for the followers of the group; undefined: what was announced could not be read. */
  | { kind: "status"; deviceGroup: string; news: StatusNews | undefined }
>;

/** `gap`: announcements of any kind may have been lost since the last event; later ones are delivered. */
export type FeedEvent = Announcement | Readonly<{ kind: "gap" }>;

export type FeedListener = (event: FeedEvent) => void;

/**
 * Announces changes between managers, gateway and reporter. No method rejects; announcements that are lost while the
 * feed is unreachable are counted.
 */
export interface ChangeFeed extends AsyncDisposable {
  /** Announces an event after this turn of the event loop, without a wait. */
  publish(announcement: Announcement): void;
  /**
   * Listens to gaps, to announcements of entities and access, and to those of statuses of the groups that
   * `followStatus` named.
   */
  subscribe(listener: FeedListener): Disposable;
  /**
   * Delivers statuses of a group until the answer is disposed. Resolves once the group is subscribed: later
   * announcements are delivered. If the feed is unreachable this resolves after a second at most, and the feed emits
   * `gap` once the group is subscribed.
   */
  followStatus(deviceGroup: string): Promise<Disposable>;
}
