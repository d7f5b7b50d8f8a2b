/**
 * The orders of a list of devices. A device has a place in each, which a page token names: the next page begins after that place, also where the device itself
 * has another one now, or none.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { invalidArgument, type Violation } from "../../../common/errors/nebula-error.ts";
import type { FilterContext } from "../../../common/insight/device-filter.ts";
import type { DeviceState } from "../../../common/insight/device-state.ts";
import { decodePosition, encodePosition, refusedPosition } from "../../../common/storage/page.ts";
import { enumWord } from "../../../common/text/enum-words.ts";
import { ConnectionState, DeviceOrder, DeviceOrderSchema } from "../../../gen/nebula/v1/device_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import type { DeviceInGroup } from "../../insight/views/group-view.ts";
import { lookInTurns } from "../../insight/views/in-turns.ts";

/** A device and the device_group in which it was found. */
export type Found = Readonly<{ deviceGroup: string; device: DeviceInGroup }>;

export type OrderFields = Readonly<{ order: DeviceOrder; descending: boolean }>;

/** Where a device is in an order: the first field that differs decides. */
export type Place = Readonly<{ rank: number; ms: number; text: string; deviceId: string; deviceGroup: string }>;

type StandingOf = FilterContext["standingOf"];
type Key = Partial<Pick<Place, "rank" | "ms" | "text">>;

/** The worst first. */
const STATES: readonly TargetState[] = [TargetState.FAILED, TargetState.UNSPECIFIED, TargetState.WORKING, TargetState.APPLIED];
const STANDINGS: readonly DeviceState[] = ["failed", "offline", "waiting", "working", "applied"];
const CONNECTIONS: readonly ConnectionState[] = [ConnectionState.OFFLINE, ConnectionState.UNSPECIFIED, ConnectionState.ONLINE];

/** Of a version, as far as it counts, characters: a token has room for it. */
const LONGEST_VERSION = 64;

const KEYS: ReadonlyMap<DeviceOrder, (found: Found, standingOf: StandingOf) => Key> = new Map<
  DeviceOrder,
  (found: Found, standingOf: StandingOf) => Key
>([
  [DeviceOrder.DEVICE_ID, () => ({})],
  [DeviceOrder.DEVICE_GROUP, ({ deviceGroup }) => ({ text: deviceGroup })],
  [DeviceOrder.STATE, ({ device: { summary } }) => ({ rank: STATES.indexOf(summary?.state ?? TargetState.UNSPECIFIED) })],
  [DeviceOrder.STANDING, ({ device }, standingOf) => ({ rank: STANDINGS.indexOf(standingOf(device).state) })],
  [
    DeviceOrder.CONNECTION,
    ({ device: { connection } }) => ({
      rank: CONNECTIONS.indexOf(connection.state),
      ms: connection.since === undefined ? 0 : timestampMs(connection.since),
    }),
  ],
  [DeviceOrder.REPORTED, ({ device: { summary } }) => ({ ms: Number(summary?.receivedAtMs ?? 0n) })],
  [DeviceOrder.WORKER_VERSION, ({ device: { summary } }) => ({ text: (summary?.workerVersion ?? "").slice(0, LONGEST_VERSION) })],
]);

const byNumbers = new Intl.Collator("en", { numeric: true });

/** The name of the list in its tokens. */
const LIST = "devices in order";

/** Checks the order that a request names. */
export function validateDeviceOrder({ order, descending }: OrderFields): Violation[] {
  const names = DeviceOrderSchema.values.filter(({ number }) => number !== DeviceOrder.UNSPECIFIED).map(({ name }) => name);
  if (order !== DeviceOrder.UNSPECIFIED && !KEYS.has(order))
    return [{ field: "order", description: `invalid order "${order}"; use ${names.join(", ")}` }];
  if (order !== DeviceOrder.UNSPECIFIED || !descending) return [];
  return [{ field: "descending", description: `invalid descending "true" without an order; use it with order, such as ${names[0]}` }];
}

/** The place of a device. @param standingOf with the newest config of its group; read for the order by standing alone */
export function placeOf(found: Found, order: DeviceOrder, standingOf: StandingOf): Place {
  const { deviceGroup, device } = found;
  return { rank: 0, ms: 0, text: "", deviceId: device.deviceId, deviceGroup, ...KEYS.get(order)?.(found, standingOf) };
}

/** Compares two places for a sort; 0 for the same device at the same place alone. */
export function comparePlaces({ order, descending }: OrderFields, one: Place, other: Place): number {
  const byVersion = order === DeviceOrder.WORKER_VERSION ? byNumbers.compare(one.text, other.text) : 0;
  const ascending =
    one.rank - other.rank ||
    one.ms - other.ms ||
    byVersion ||
    compare(one.text, other.text) ||
    compare(one.deviceId, other.deviceId) ||
    compare(one.deviceGroup, other.deviceGroup);
  return descending ? -ascending : ascending;
}

function compare(one: string, other: string): number {
  return one === other ? 0 : one < other ? -1 : 1;
}

type Placed = Found & Readonly<{ place: Place }>;

/** The first devices after a place. Of however many it is given it holds twice as many as are wanted at most. */
export class FirstInOrder {
  readonly #order: OrderFields;
  readonly #after: Place | undefined;
  readonly #most: number;
  #kept: Placed[] = [];

  /** @param after undefined: from the first one on @param most how many are wanted */
  constructor(order: OrderFields, after: Place | undefined, most: number) {
    this.#order = order;
    this.#after = after;
    this.#most = most;
  }

  async add(deviceGroup: string, devices: Iterable<DeviceInGroup>, standingOf: StandingOf, signal: AbortSignal): Promise<void> {
    const keep = (device: DeviceInGroup) => {
      const place = placeOf({ deviceGroup, device }, this.#order.order, standingOf);
      if (this.#after !== undefined && comparePlaces(this.#order, place, this.#after) <= 0) return;
      this.#kept.push({ deviceGroup, device, place });
      if (this.#kept.length > 2 * this.#most) this.#cut();
    };
    await lookInTurns(devices, keep, signal);
  }

  /** Those that are wanted, in their order, and whether there are more. */
  take(): Readonly<{ found: readonly Placed[]; hasMore: boolean }> {
    this.#cut();
    return { found: this.#kept.slice(0, this.#most), hasMore: this.#kept.length > this.#most };
  }

  /** One more than is wanted stays, which says that there are more. */
  #cut(): void {
    this.#kept.sort((one, other) => comparePlaces(this.#order, one.place, other.place));
    this.#kept.length = Math.min(this.#kept.length, this.#most + 1);
  }
}

// --- tokens

export function encodePlace(order: OrderFields, { rank, ms, text, deviceId, deviceGroup }: Place): string {
  return encodePosition(LIST, [wordOf(order), rank, ms, text, deviceId, deviceGroup]);
}

/** @throws NebulaError `invalid_argument` naming page_token, also for a token of another order */
export function decodePlace(order: OrderFields, token: string): Place {
  const [word, rank, ms, text, deviceId, deviceGroup, ...more] = decodePosition(LIST, token);
  if (typeof word !== "string" || typeof rank !== "number" || typeof ms !== "number" || more.length > 0) throw refusedPosition(token);
  if (typeof text !== "string" || typeof deviceId !== "string" || typeof deviceGroup !== "string") throw refusedPosition(token);
  if (word === wordOf(order)) return { rank, ms, text, deviceId, deviceGroup };
  const description = `is of a list ${word}; give order and descending as for the page before, or no page_token for the first page`;
  throw invalidArgument([{ field: "page_token", description }]);
}

function wordOf({ order, descending }: OrderFields): string {
  return `by ${enumWord(DeviceOrderSchema, order)}${descending ? " descending" : ""}`;
}
