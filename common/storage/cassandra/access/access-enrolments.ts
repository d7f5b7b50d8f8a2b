/**
 * Enrolment tokens, and the enrolment of devices.
 *
 * An enrolment is four conditional changes, in an order that may be cut anywhere, and continues where it was cut when
 * the call is repeated:
 * 1. the device's row, pending; 2. a use of the enrolment token; 3. the row of the device's token, which counts from
 *    then on; 4. the device's row, in.
 */
import type { Clock } from "../../../clock/clock.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { ChangeOutcome, EnrolmentTokens, EnrolOutcome, StoredEnrolment } from "../../access-store.ts";
import type { Page, PageRequest } from "../../page.ts";
import type { AccessPartition } from "./access-partition.ts";
import type { DeviceRow, DeviceRows } from "./device-rows.ts";
import {
  createEnrolmentRow,
  type EnrolmentRow,
  enrolmentOf,
  enrolmentRowOf,
  putEnrolmentState,
  readEnrolment,
  SELECT_ENROLMENT,
} from "./enrolment-rows.ts";
import { EnrolmentUses } from "./enrolment-uses.ts";
import { ALL, type ListByTime, newestFirst } from "./newest-first.ts";

type Signal = AbortSignal | undefined;
type EnrolCall = Parameters<EnrolmentTokens["enrol"]>[0];
const PUT_LISTED = "INSERT INTO enrolment_list (device_group, created_at, id) VALUES (?, ?, ?) USING TTL ?";
const LIST = "SELECT created_at, id FROM enrolment_list WHERE device_group = ? AND (created_at, id) < (?, ?)";

/** Times that a step is made again from what another process has just written. */
const TRIES = 8;
const DAY_S = 86_400;

export function createAccessEnrolments(partition: AccessPartition, devices: DeviceRows, clock: Clock): EnrolmentTokens {
  const uses = new EnrolmentUses(partition, clock);

  async function byTokenHash(tokenHash: string, signal: Signal): Promise<EnrolmentRow | undefined> {
    const token = await partition.token(tokenHash, "read", signal);
    if (token?.kind !== "enrolment") return undefined;
    const row = await readEnrolment(partition, token.owner, "read", signal);
    return row?.state === "in" && row.tokenHash === tokenHash ? row : undefined;
  }

  async function createEnrolment(enrolment: StoredEnrolment, signal: Signal): Promise<"done" | "unknown"> {
    const { id, tokenHash, deviceGroup } = enrolment;
    await listEnrolment(partition, enrolment, signal);
    const created = await createEnrolmentRow(partition, enrolment, signal);
    if (created === "unknown") return "unknown";
    if (created === "refused") {
      const before = await readEnrolment(partition, id, "serial_read", signal);
      if (before?.tokenHash !== tokenHash || before.state !== "in") throw alreadyThere();
    }
    const claimed = await partition.claim(tokenHash, { kind: "enrolment", owner: id, deviceGroup, state: "in_use", generation: 0 }, signal); // A3
    if (claimed.kind !== "taken") return claimed.kind === "unknown" ? "unknown" : "done";
    const row = await readEnrolment(partition, id, "serial_read", signal);
    if (row !== undefined) await putEnrolmentState(partition, row, "ended", signal);
    throw alreadyThere();
  }

  async function revokeEnrolment(id: string, signal: Signal): Promise<ChangeOutcome> {
    for (let tries = 0; tries < TRIES; tries++) {
      const row = await readEnrolment(partition, id, "serial_read", signal);
      if (row === undefined || row.state === "ended") return (await partition.renewStamp()) === "unknown" ? "unknown" : "absent"; // A1
      if (row.state === "in") {
        if ((await putEnrolmentState(partition, row, "ending", signal)) === "unknown") return "unknown"; // no use is taken from now on
        continue;
      }
      if ((await partition.releaseOwn(row.tokenHash, "enrolment", id, signal)) === "unknown") return "unknown";
      if ((await partition.renewStamp()) === "unknown") return "unknown"; // A1
      return (await putEnrolmentState(partition, row, "ended", signal)) === "unknown" ? "unknown" : "done";
    }
    return "unknown";
  }

  /** 1: the device's row, pending with this token; `other_token` where the device has one. */
  async function begin(
    call: EnrolCall,
    enrolment: EnrolmentRow,
    row: DeviceRow | undefined,
    signal: Signal,
  ): Promise<DeviceRow | "unknown" | "again"> {
    if (row !== undefined && isBegun(row, call, enrolment)) return row;
    const pending = {
      deviceId: call.deviceId,
      state: "pending",
      generation: (row?.generation ?? 0) + 1,
      deviceGroup: enrolment.deviceGroup,
      tokenHash: call.tokenHash,
      nextHash: "",
      endedHash: "",
      enrolmentId: enrolment.id,
      enrolledAt: call.nowMs,
      rotatedAt: 0,
    } as const;
    const change = await devices.put(pending, row, signal);
    if (change === "unknown") return "unknown";
    return change === "refused" ? "again" : ((await devices.read(call.deviceId, "serial_read", signal)) ?? "again");
  }

  /** An enrolment that comes to nothing leaves the device as it was. */
  async function abandon(row: DeviceRow, outcome: EnrolOutcome, signal: Signal): Promise<EnrolOutcome> {
    await devices.put({ ...row, state: "ended", tokenHash: "" }, row, signal); // refused: another call goes on with it
    return outcome;
  }

  /** 2 to 4. */
  async function complete(row: DeviceRow, signal: Signal): Promise<EnrolOutcome | "again"> {
    const { deviceId, deviceGroup, generation, tokenHash } = row;
    await devices.list(row, signal);
    const use = await uses.take(row.enrolmentId, deviceId, generation, signal);
    if (use === "unknown") return { kind: "unknown" };
    if (use !== "taken") return abandon(row, { kind: "not_valid", why: use === "used_up" ? "used_up" : "unknown" }, signal);
    const claimed = await partition.claim(tokenHash, { kind: "device", owner: deviceId, deviceGroup, state: "new", generation }, signal); // A3
    if (claimed.kind === "unknown") return { kind: "unknown" };
    if (claimed.kind === "taken") return abandon(row, { kind: "hash_taken" }, signal);
    const change = await devices.put({ ...row, state: "in" }, row, signal);
    if (change === "unknown") return { kind: "unknown" };
    return change === "applied" ? { kind: "enrolled", deviceGroup, again: false } : "again";
  }

  async function enrol(call: EnrolCall, signal: Signal): Promise<EnrolOutcome> {
    const { deviceId, tokenHash, enrolmentHash, nowMs } = call;
    for (let tries = 0; tries < TRIES; tries++) {
      const row = await devices.read(deviceId, tries === 0 ? "read" : "serial_read", signal);
      if (row?.state === "in" && (row.tokenHash === tokenHash || row.nextHash === tokenHash)) {
        return { kind: "enrolled", deviceGroup: row.deviceGroup, again: true }; // A4: uses nothing up
      }
      // Looked at before the device is: who has no valid enrolment token does not learn which devices there are.
      const enrolment = await byTokenHash(enrolmentHash, signal);
      if (enrolment === undefined) return { kind: "not_valid", why: "unknown" };
      const hasUse = row !== undefined && isBegun(row, call, enrolment) && (await uses.has(enrolment.id, deviceId, row.generation, signal));
      if (!hasUse && enrolment.expiresAt <= nowMs) return { kind: "not_valid", why: "expired" };
      if (!hasUse && enrolment.usesLeft === 0) return { kind: "not_valid", why: "used_up" };
      if (row?.state === "in" || row?.state === "ending") return { kind: "other_token" };
      const token = await partition.token(tokenHash, "read", signal);
      if (token !== undefined && (token.kind !== "device" || token.owner !== deviceId)) return { kind: "hash_taken" };
      const begun = await begin(call, enrolment, row, signal);
      if (begun === "unknown") return { kind: "unknown" };
      if (begun === "again") continue;
      const outcome = await complete(begun, signal);
      if (outcome !== "again") return outcome;
    }
    return { kind: "unknown" };
  }

  function listEnrolments(
    { deviceGroup = ALL, nowMs }: Readonly<{ deviceGroup?: string; nowMs: number }>,
    page: PageRequest,
    signal: Signal,
  ): Promise<Page<StoredEnrolment>> {
    const list: ListByTime<StoredEnrolment> = {
      name: "enrolments",
      table: "enrolment_list",
      before: (createdAt, id) => ({ cql: LIST, params: [deviceGroup, createdAt, id] }),
      async read(ids) {
        const keys = ids.map((id) => [id]);
        const answers = await partition.client.executeMany(SELECT_ENROLMENT, keys, { table: "enrolment", kind: "read", signal });
        const found = answers.flatMap(([row]) => (row === undefined ? [] : (enrolmentRowOf(row) ?? [])));
        return found.filter((row) => row.state === "in" && row.expiresAt > nowMs && row.usesLeft > 0).map(enrolmentOf);
      },
    };
    return newestFirst(partition, list, page, signal);
  }

  return {
    createEnrolment,

    async enrolmentByTokenHash(tokenHash, signal) {
      const row = await byTokenHash(tokenHash, signal);
      return row && enrolmentOf(row);
    },

    async enrolment(id, signal) {
      const row = await readEnrolment(partition, id, "read", signal);
      return row === undefined || row.state === "ended" ? undefined : enrolmentOf(row);
    },

    listEnrolments,
    revokeEnrolment,
    enrol,
  };
}

/** Puts the rows of the list of an enrolment token, which end by themselves. */
export async function listEnrolment(
  { client }: AccessPartition,
  { id, deviceGroup, createdAt, expiresAt }: StoredEnrolment,
  signal: Signal,
): Promise<void> {
  const ttl = Math.max(0, Math.ceil((expiresAt - createdAt) / 1000)) + DAY_S; // by the times that it has: the clock of this process says nothing of them
  const listed = [ALL, deviceGroup].map((group) => [group, BigInt(Math.trunc(createdAt)), id, ttl]);
  await client.executeMany(PUT_LISTED, listed, { table: "enrolment_list", kind: "write", signal });
}

/** Whether an earlier call began the same enrolment and was cut. */
function isBegun(row: DeviceRow, { tokenHash }: EnrolCall, enrolment: EnrolmentRow): boolean {
  return row.state === "pending" && row.tokenHash === tokenHash && row.enrolmentId === enrolment.id;
}

function alreadyThere(): NebulaError {
  return new NebulaError("already_exists", "this enrolment token is there already");
}
