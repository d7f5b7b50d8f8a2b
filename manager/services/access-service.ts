import { randomBytes } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { invalidArgument, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, EnrolOutcome, StoredDeviceToken, StoredEnrolment } from "../../common/storage/access-store.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { enrolmentIdViolations, tokenHashViolations, validateEnrolment, validateEnrolmentRequest } from "../../common/validation/access.ts";
import { pageOf } from "../../common/validation/page.ts";
import { shown } from "../../common/validation/quote.ts";
import { deviceIdViolations } from "../../common/validation/report.ts";
import type { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { groupKey } from "../access/group-key.ts";
import { permit } from "../access/permit.ts";
import { inUseElsewhere, type PresentGroups } from "../access/present-groups.ts";
import { mayWrite, type Rights } from "../access/rights.ts";
import { createRotationLimit } from "../access/rotation-limit.ts";
import { changeableBy, type VisiblePages } from "../access/visible-pages.ts";
import { nameOf, type Principal, type ServiceHandlers, type UnaryHandler } from "../rpc/call-context.ts";
import { enrolledGroup, makerHasNoRights } from "./enrolled-group.ts";

const DEFAULT_EXPIRY_SECONDS = 86_400;

export type AccessServiceParts = Readonly<{
  accessStore: AccessStore;
  configStore: Pick<ConfigStore, "get">;
  changeFeed: Pick<ChangeFeed, "publish">;
  presentGroups: PresentGroups;
  /** What the user of a name may do now; nothing, where there is no such user. */
  rightsOf: (user: string) => Promise<Rights>;
  visiblePages: VisiblePages;
  clock: Clock;
  log: Log;
  /** Answers Check; without it Check is answered `unimplemented`. */
  check?: UnaryHandler<typeof AccessService.method.check>;
}>;

type Handlers = ServiceHandlers<typeof AccessService>;

/** AccessService: enrolment tokens, and the tokens of devices. Whatever ends is announced after it is stored, so that open watches end with it. */
export function createAccessServiceHandlers(parts: AccessServiceParts): Omit<Handlers, "check"> & Partial<Pick<Handlers, "check">> {
  const { accessStore, configStore, changeFeed, presentGroups, rightsOf, visiblePages, clock, log, check } = parts;
  const limitRotations = createRotationLimit(clock);
  const ended = (subject: string) => changeFeed.publish({ kind: "access", subject });

  /**
   * An enrolment token has the rights of its maker, as they are now: `rw` on the token's group, and on the group that the device is in. Nothing is looked at for a
   * token that the store refuses, nor for a device that is in with this token already.
   */
  async function assertMayEnrol(deviceId: string, hash: string, enrolmentHash: string): Promise<void> {
    const enrolment = await accessStore.enrolmentByTokenHash(enrolmentHash);
    if (enrolment === undefined || enrolment.usesLeft === 0 || enrolment.expiresAt <= clock.now()) return;
    const token = await accessStore.deviceToken(deviceId);
    if (token?.tokenHash === hash || token?.nextHash === hash) return;
    const rights = await rightsOf(enrolment.createdBy);
    if (!mayWrite(rights, groupKey(enrolment.deviceGroup))) throw makerHasNoRights(enrolment.deviceGroup);
    presentGroups.forget(deviceId); // an enrolment is rare: it goes by what the stores hold now
    const present = await presentGroups.of(deviceId);
    if (present !== undefined && !mayWrite(rights, groupKey(present.deviceGroup))) throw inUseElsewhere(deviceId);
  }

  return {
    ...(check !== undefined && { check }),

    async createEnrolmentToken(request, { principal, requestId, changed }) {
      refuse(validateEnrolmentRequest(request));
      const { deviceGroup, uses, expiresInSeconds } = request;
      const group = await configStore.get(groupKey(deviceGroup));
      if (group === undefined || group.deleted) throw unknown("device_group", deviceGroup, "create it first, or look for its name in the list");
      const token = newToken();
      const createdAt = clock.now();
      const enrolment: StoredEnrolment = {
        id: randomBytes(8).toString("hex"),
        tokenHash: tokenHash(token),
        deviceGroup,
        usesLeft: uses || 1,
        expiresAt: createdAt + (expiresInSeconds || DEFAULT_EXPIRY_SECONDS) * 1000,
        createdAt,
        createdBy: nameOf(principal),
      };
      await accessStore.createEnrolment(enrolment);
      changed({ kind: "enrolment_token", name: enrolment.id, detail: `made for ${enrolment.usesLeft} devices of ${deviceGroup}` });
      log.info({ id: enrolment.id, deviceGroup, by: nameOf(principal), requestId }, "enrolment token made");
      return { enrolmentToken: enrolmentMessage(enrolment), token };
    },

    async listEnrolmentTokens(request, { principal }) {
      const page = pageOf(request);
      const group = groupOf(request.deviceGroup, principal);
      const nowMs = clock.now();
      const { items, next } = await visiblePages((part) => accessStore.listEnrolments({ ...group, nowMs }, part), page, changeable(principal));
      return { enrolmentTokens: items.map(enrolmentMessage), nextPageToken: next ?? "" };
    },

    async revokeEnrolmentToken({ id }, { principal, requestId, changed }) {
      refuse(enrolmentIdViolations(id, "id"));
      const enrolment = await accessStore.enrolment(id);
      const isSeen = enrolment !== undefined && (changeable(principal)?.(enrolment) ?? true);
      if (!isSeen || !(await accessStore.revokeEnrolment(id)))
        throw unknown("enrolment token", id, "the list of enrolment tokens has those that are valid");
      changed({ kind: "enrolment_token", name: id, detail: "revoked" });
      await ended(`enrolment/${id}`);
      log.info({ id, by: nameOf(principal), requestId }, "enrolment token revoked");
      return {};
    },

    async enrollDevice(request, { principal, requestId, changed }) {
      refuse(validateEnrolment(request));
      if (principal.kind !== "enrolment") throw new NebulaError("permission_denied", "only an enrolment token takes a device in");
      const { deviceId } = request;
      const hash = hex(request.tokenHash);
      await assertMayEnrol(deviceId, hash, principal.tokenHash);
      const outcome: EnrolOutcome = await accessStore.enrol({ deviceId, tokenHash: hash, enrolmentHash: principal.tokenHash, nowMs: clock.now() });
      presentGroups.forget(deviceId);
      const { deviceGroup, again } = enrolledGroup(outcome, deviceId);
      if (!again) {
        changed({ kind: "device", name: deviceId, detail: `enrolled in ${deviceGroup}` });
        log.info({ deviceId, deviceGroup, requestId }, "device enrolled");
      }
      return { deviceGroup };
    },

    async rotateDeviceToken({ nextTokenHash }, { principal, requestId, changed }) {
      refuse(tokenHashViolations(nextTokenHash, "next_token_hash"));
      if (principal.kind !== "device") throw new NebulaError("permission_denied", "only a device rotates its own token");
      const { deviceId } = principal;
      limitRotations(deviceId);
      if (!(await accessStore.announceNext(principal.tokenHash, hex(nextTokenHash)))) {
        throw new NebulaError("unauthenticated", `the token of the device ${shown(deviceId)} has ended: it was revoked, or its next one is in use`);
      }
      changed({ kind: "device", name: deviceId, detail: "next token announced" });
      log.info({ deviceId, requestId }, "device announced its next token");
      return {};
    },

    async listDeviceTokens(request, { principal }) {
      const page = pageOf(request);
      const group = groupOf(request.deviceGroup, principal);
      const { items, next } = await visiblePages((part) => accessStore.listDeviceTokens(group, part), page, changeable(principal));
      return { deviceTokens: items.map(deviceMessage), nextPageToken: next ?? "" };
    },

    async revokeDeviceToken({ deviceId }, { principal, requestId, changed }) {
      refuse(deviceIdViolations(deviceId, "device_id"));
      const device = await accessStore.deviceToken(deviceId);
      const isSeen = device !== undefined && (changeable(principal)?.(device) ?? true);
      if (!isSeen || !(await accessStore.revokeDeviceToken(deviceId))) {
        throw unknown("token of a device", deviceId, "the list of device tokens has the devices that have one");
      }
      presentGroups.forget(deviceId);
      changed({ kind: "device", name: deviceId, detail: "token revoked" });
      await ended(`device/${deviceId}`);
      log.info({ deviceId, by: nameOf(principal), requestId }, "device token revoked");
      return {};
    },
  };
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) throw invalidArgument(violations);
}

function unknown(what: string, name: string, advice: string): NebulaError {
  return new NebulaError("not_found", `there is no ${what} ${shown(name)}: ${advice}`);
}

/** The filter of a list; throws `permission_denied` for a device_group whose tokens the caller may not see. */
function groupOf(deviceGroup: string, principal: Principal): { deviceGroup?: string } {
  if (deviceGroup === "") return {};
  permit(principal, { kind: "write", entity: groupKey(deviceGroup) }, false);
  return { deviceGroup };
}

/** Who may change a device_group sees and ends the tokens that lead into it. */
function changeable(principal: Principal): ((token: Readonly<{ deviceGroup: string }>) => boolean) | undefined {
  return changeableBy(principal, ({ deviceGroup }) => deviceGroup);
}

function hex(hash: Uint8Array): string {
  return Buffer.from(hash).toString("hex");
}

function enrolmentMessage({ id, deviceGroup, usesLeft, expiresAt, createdAt, createdBy }: StoredEnrolment) {
  return { id, deviceGroup, usesLeft, expiresAt: timestampFromMs(expiresAt), createdAt: timestampFromMs(createdAt), createdBy };
}

function deviceMessage({ deviceId, deviceGroup, enrolledAt, enrolmentId, rotatedAt, nextHash }: StoredDeviceToken) {
  const rotated = rotatedAt === 0 ? {} : { rotatedAt: timestampFromMs(rotatedAt) };
  return { deviceId, deviceGroup, enrolledAt: timestampFromMs(enrolledAt), enrolmentId, ...rotated, rotating: nextHash !== "" };
}
