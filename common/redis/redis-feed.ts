import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Redis } from "ioredis";
import { PresenceChangeSchema, StatusChangeSchema, StatusChangesSchema } from "../../gen/nebula/v1/device_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Announcement, ChangeFeed, StatusNews } from "../feed/change-feed.ts";
import { createMemoryFeed } from "../feed/memory-feed.ts";
import type { Log } from "../log/log.ts";
import type { HintMetrics } from "../metrics/hint-metrics.ts";
import { readMessage, writeMessage } from "../protobuf/binary-message.ts";
import { ENTITY_KINDS } from "../storage/config-store.ts";
import { withSharedValues } from "../storage/shared-values.ts";
import type { Commands } from "./commands.ts";
import { type HintSeal, SeenSequences } from "./hint-seal.ts";
import { Subscription } from "./subscription.ts";

/** Bytes of one announcement; a single change may be larger. */
export const ANNOUNCEMENT_BYTES = 500_000;
/** Bytes that a change takes in an announcement besides its own: its field's number and its length. */
const FRAME_BYTES = 5;
const { changes: CHANGES, presence: PRESENCE } = StatusChangesSchema.field;

export type RedisFeedOptions = Readonly<{
  commands: Pick<Commands, "publish">;
  /** Opens a connection for subscriptions, which never connects again by itself. */
  connect: (attempt: number) => Redis;
  seal: HintSeal;
  clock: Clock;
  log: Log;
  metrics: HintMetrics;
}>;

/**
 * The change feed over Redis' channels: one for entities and access, one for each group's statuses. Announcements
 * of this process reach its own subscribers directly, also while Redis is unreachable. Resolves when it is subscribed,
 * or after a second: then a gap follows. After a gap the subscriber reads from the store what it may have missed.
 */
export async function openRedisFeed({ commands, connect, seal, clock, log, metrics }: RedisFeedOptions): Promise<ChangeFeed> {
  const feedChannel = `${seal.prefix}feed`;
  const statusPrefix = `${seal.prefix}status:`;
  const local = createMemoryFeed({ log, metrics });
  const seen = new SeenSequences();

  function onMessage(channel: string, message: Buffer): void {
    const group = channel.startsWith(statusPrefix) ? channel.slice(statusPrefix.length) : undefined;
    // A reporter does not know the cluster: what it says of devices is a hint for eyes alone.
    const opened = group === undefined ? seal.open("feed", message) : seal.open(`status/${group}`, message, { ofNone: true });
    if (opened?.boot === seal.boot) return; // known here
    const announcement = opened !== undefined && seen.isNew(opened.boot, opened.sequence) ? decode(group, opened.payload) : undefined;
    if (announcement === undefined) metrics.rejected("event");
    else local.publish(announcement);
  }

  const onGap = () => {
    metrics.gap();
    local.gap();
  };
  const publish = (channel: string, message: Buffer) => commands.publish(channel, message);
  const subscription = new Subscription({ connect, seal, publish, onMessage, onGap, clock, log }, [feedChannel]);
  await subscription.whole();
  return {
    publish(announcement) {
      local.publish(announcement);
      const [channel, purpose] =
        announcement.kind === "status" ? [`${statusPrefix}${announcement.deviceGroup}`, `status/${announcement.deviceGroup}`] : [feedChannel, "feed"];
      for (const payload of encode(announcement)) publish(channel, seal.seal(purpose, payload)).catch(() => metrics.lost("publish"));
    },
    subscribe: (listener) => local.subscribe(listener),
    async followStatus(deviceGroup) {
      const [here, there] = await Promise.all([local.followStatus(deviceGroup), subscription.add(`${statusPrefix}${deviceGroup}`)]);
      return {
        [Symbol.dispose]: () => {
          here[Symbol.dispose]();
          there[Symbol.dispose]();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await subscription[Symbol.asyncDispose]();
      await local[Symbol.asyncDispose]();
    },
  };
}

/** Statuses are encoded StatusChanges, all else a JSON array. */
function encode(announcement: Announcement): readonly Uint8Array[] {
  switch (announcement.kind) {
    case "entity":
      return [Buffer.from(JSON.stringify(["entity", announcement.entity.kind, announcement.entity.name, String(announcement.revision)]))];
    case "access":
      return [Buffer.from(JSON.stringify(["access", announcement.subject]))];
    case "status":
      return announcement.news === undefined ? [] : statusPayloads(announcement.news);
  }
}

/** Returns what changed in a device_group as encoded StatusChanges of at most ANNOUNCEMENT_BYTES, each of which is one announcement. */
export function statusPayloads({ changes, presence }: StatusNews): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  let [writer, size] = [new BinaryWriter(), 0];
  const finish = () => {
    if (size > 0) payloads.push(writer.finish());
    [writer, size] = [new BinaryWriter(), 0];
  };
  // a StatusChanges is its changes, one after the other
  const add = (field: number, change: Uint8Array) => {
    if (size + change.length + FRAME_BYTES > ANNOUNCEMENT_BYTES) finish();
    writer.tag(field, WireType.LengthDelimited).bytes(change);
    size += change.length + FRAME_BYTES;
  };
  for (const change of changes) add(CHANGES.number, writeMessage(StatusChangeSchema, change));
  for (const change of presence) add(PRESENCE.number, writeMessage(PresenceChangeSchema, change));
  finish();
  return payloads;
}

/** undefined: another version announces what this one does not know. */
function decode(deviceGroup: string | undefined, payload: Buffer): Announcement | undefined {
  if (deviceGroup !== undefined) return { kind: "status", deviceGroup, news: readNews(payload) };
  const parts = stringsIn(payload.toString());
  const [what, subject = "", name = "", revision = ""] = parts;
  if (what === "access") return { kind: "access", subject };
  const kind = ENTITY_KINDS.find((each) => each === subject);
  if (what !== "entity" || kind === undefined || !/^\d{1,19}$/.test(revision)) return undefined;
  return { kind: "entity", entity: { kind, name }, revision: BigInt(revision) };
}

function readNews(payload: Buffer): StatusNews | undefined {
  try {
    const news = readMessage(StatusChangesSchema, payload);
    for (const { summary } of news.changes) if (summary !== undefined) withSharedValues(summary);
    return news;
  } catch {
    return undefined;
  }
}

function stringsIn(text: string): readonly string[] {
  try {
    const parts: unknown = JSON.parse(text);
    return Array.isArray(parts) && parts.every((part) => typeof part === "string") ? parts : [];
  } catch {
    return [];
  }
}
