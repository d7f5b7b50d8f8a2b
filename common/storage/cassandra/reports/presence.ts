import { BoundedMap } from "../../../bounded-map.ts";
import { decodePresencePosition, encodePresencePosition, type Page, type PageRequest } from "../../page.ts";
import {
  PRESENCE_KEPT_MS,
  type PresenceRow,
  type PresenceStore,
  presenceVersion,
  readPresenceVersion,
  SHARD_KEPT_MS,
  type ShardRow,
} from "../../presence-store.ts";
import { sharedText } from "../../shared-values.ts";
import { pagesOf } from "../connection/client.ts";
import { integer, type Row, text } from "../connection/rows.ts";
import { BUCKETS } from "../schema/report-tables.ts";
import { mergeBuckets, partOf } from "./merge-buckets.ts";
import { deviceBucket, NAME_GROUP, type ReportClient, ttlSeconds } from "./report-rows.ts";

// Presence in Cassandra. A row is written, and deleted, `USING TIMESTAMP` its version: the larger one wins, from any sender and in any order. The copy by device
// is written last, and decides nothing that the rows of a group do not say. The name of a device_group is written with the time of its row in milliseconds: far
// below the version of a device's row in microseconds, so what a report wrote of that device_group wins.

/** Names of device_groups that this process need not write again. */
const MOST_NAMED = 10_000;
/** A name is written again after this time, long before it expires. Milliseconds. */
const NAMED_FOR_MS = 86_400_000;
/** The partition of `shard` that is in use. */
const SHARDS = "nebula";
/** Between device_id and boot in the order of a list: below every character of an id, so that the shorter of two ids comes first. */
const SEPARATOR = "\n";

const OF_GROUP =
  "INSERT INTO presence (device_group, bucket, device_id, shard_boot, version, at_ms, worker_version) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
const OF_DEVICE =
  "INSERT INTO presence_of_device (device_id, device_group, shard_boot, version, at_ms, worker_version) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
const NOT_OF_GROUP = "DELETE FROM presence USING TIMESTAMP ? WHERE device_group = ? AND bucket = ? AND device_id = ? AND shard_boot = ?";
const NOT_OF_DEVICE = "DELETE FROM presence_of_device USING TIMESTAMP ? WHERE device_id = ? AND device_group = ? AND shard_boot = ?";
const GROUP_PAGE = `SELECT device_group, device_id, shard_boot, version, at_ms, worker_version FROM presence
  WHERE device_group = ? AND bucket = ? AND (device_id, shard_boot) > (?, ?) LIMIT ?`;
const DEVICE = "SELECT device_group, device_id, shard_boot, version, at_ms, worker_version FROM presence_of_device WHERE device_id = ?";
const MARK = "INSERT INTO shard (part, boot, name, address, seen_ms) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?";
const MARKED = "SELECT boot, name, address, seen_ms FROM shard WHERE part = ?";

/** The part of the report store that holds presence. */
export function createCassandraPresence(client: ReportClient): PresenceStore {
  const many = (table: string, cql: string, values: readonly (readonly unknown[])[], signal: AbortSignal | undefined) =>
    client.executeMany(cql, values, { table, kind: "write", signal });

  async function listPresence(deviceGroup: string, { after, limit }: PageRequest, signal?: AbortSignal): Promise<Page<PresenceRow>> {
    const start = after === undefined ? ["", ""] : Object.values(decodePresencePosition(after));
    const read = async (bucket: number, key: string | undefined, most: number) => {
      const query = { cql: GROUP_PAGE, params: [deviceGroup, bucket, ...(key?.split(SEPARATOR) ?? start), most] };
      const { rows } = await client.execute(query, { table: "presence", kind: "read", fetchSize: most, signal });
      return rows.map(rowOf);
    };
    const keyOf = ({ deviceId, shardBoot }: PresenceRow) => deviceId + SEPARATOR + shardBoot;
    const items: PresenceRow[] = [];
    for await (const row of mergeBuckets(BUCKETS.devices, partOf(limit, BUCKETS.devices), read, keyOf)) {
      const last = items.at(-1);
      if (last !== undefined && items.length === limit) return { items, next: encodePresencePosition(last) };
      items.push(row);
    }
    return { items, next: undefined };
  }

  /** When the name of each device_group was written last, by the time of its rows, milliseconds since 1970. */
  const named = new BoundedMap<string, number>(MOST_NAMED);

  /** Names the device_groups, before their rows: lists of all of them begin there. A name that a report wrote is newer, and stays. */
  async function nameGroups(rows: readonly PresenceRow[], ttl: number, signal: AbortSignal | undefined): Promise<void> {
    const newest = new Map<string, number>();
    for (const { deviceGroup, atMs } of rows) newest.set(deviceGroup, Math.max(atMs, newest.get(deviceGroup) ?? 0));
    const due = [...newest].filter(([group, atMs]) => atMs - (named.get(group) ?? Number.NEGATIVE_INFINITY) > NAMED_FOR_MS);
    const values = due.map(([group, atMs]) => [false, group, BigInt(atMs), ttl]);
    await many("reporting_group", NAME_GROUP, values, signal);
    for (const [group, atMs] of due) named.set(group, atMs);
  }

  return {
    async savePresence(rows, signal) {
      const ttl = ttlSeconds(0, PRESENCE_KEPT_MS, 0);
      await nameGroups(rows, ttl, signal);
      const ofGroup = rows.map((row) => {
        const version = BigInt(presenceVersion(row));
        const { deviceGroup, deviceId, shardBoot, atMs, workerVersion = "" } = row;
        return [deviceGroup, deviceBucket(deviceId), deviceId, shardBoot, version, BigInt(atMs), workerVersion, version, ttl];
      });
      await many("presence", OF_GROUP, ofGroup, signal);
      const ofDevice = ofGroup.map(([deviceGroup, _, deviceId, ...rest]) => [deviceId, deviceGroup, ...rest]);
      await many("presence_of_device", OF_DEVICE, ofDevice, signal);
    },

    listPresence,

    async presenceOf(deviceIds, signal) {
      const ids = [...new Set(deviceIds)].sort();
      const options = { table: "presence_of_device", kind: "read", signal } as const;
      const answers = await client.executeMany(
        DEVICE,
        ids.map((id) => [id]),
        options,
      );
      return new Map(ids.flatMap((id, index) => (answers[index]?.length ? [[id, answers[index].map(rowOf)] as const] : [])));
    },

    async deletePresence(rows, signal) {
      const keys = rows.map((row) => ({ ...row, version: BigInt(presenceVersion(row)) }));
      const ofDevice = keys.map(({ version, deviceId, deviceGroup, shardBoot }) => [version, deviceId, deviceGroup, shardBoot]);
      await many("presence_of_device", NOT_OF_DEVICE, ofDevice, signal);
      const ofGroup = keys.map(({ version, deviceId, deviceGroup, shardBoot }) => [
        version,
        deviceGroup,
        deviceBucket(deviceId),
        deviceId,
        shardBoot,
      ]);
      await many("presence", NOT_OF_GROUP, ofGroup, signal);
    },

    async markShard({ boot, name, address, seenMs }, signal) {
      const params = [SHARDS, boot, name, address, BigInt(seenMs), BigInt(seenMs) * 1000n, ttlSeconds(0, SHARD_KEPT_MS, 0)];
      await client.execute({ cql: MARK, params }, { table: "shard", kind: "write", signal });
    },

    async listShards(signal) {
      const shards: ShardRow[] = [];
      for await (const rows of pagesOf(client, { cql: MARKED, params: [SHARDS] }, { table: "shard", kind: "read", signal })) {
        shards.push(...rows.map(shardOf));
      }
      return shards;
    },

    expirePresence: async () => 0,
  };
}

function rowOf(row: Row): PresenceRow {
  const [deviceGroup, deviceId, shardBoot] = [sharedText(text(row, "device_group")), text(row, "device_id"), sharedText(text(row, "shard_boot"))];
  const workerVersion = text(row, "worker_version");
  const named = workerVersion === "" ? {} : { workerVersion: sharedText(workerVersion) };
  return { deviceGroup, deviceId, shardBoot, ...readPresenceVersion(integer(row, "version")), atMs: integer(row, "at_ms"), ...named };
}

function shardOf(row: Row): ShardRow {
  return { boot: text(row, "boot"), name: text(row, "name"), address: text(row, "address"), seenMs: integer(row, "seen_ms") };
}
