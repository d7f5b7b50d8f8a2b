import { randomBytes } from "node:crypto";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNoViolations, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import type { AccessStore, ChangeOutcome, EnrolOutcome, StoredDeviceToken, StoredEnrolment } from "../../common/storage/access-store.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { shown } from "../../common/text/wording.ts";
import { enrolmentIdViolations, tokenHashViolations, validateEnrolment, validateEnrolmentRequest } from "../../common/validation/device-requests.ts";
import { pageOf } from "../../common/validation/list-request.ts";
import { deviceIdViolations } from "../../common/validation/names.ts";
import type { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { createRotationLimit } from "../access/limits/rotations.ts";
import { inUseElsewhere, type PresentGroups } from "../access/present-groups.ts";
import { nameOf, type Principal } from "../access/principal.ts";
import { assertPermitted } from "../access/rights/permit.ts";
import { groupKey, mayWrite, type Rights } from "../access/rights/rights.ts";
import { changeableBy, type VisiblePages } from "../access/rights/visible-pages.ts";
import type { ServiceHandlers, UnaryHandler } from "../rpc/call-context.ts";
import { enrolledGroup, makerHasNoRights } from "./enrolled-group.ts";

const DEFAULT_EXPIRY_SECONDS = 86_400;

export type AccessServiceParts = Readonly<{
  accessStore: AccessStore;
  configStore: Pick<ConfigStore, "get">;
  changeFeed: Pick<ChangeFeed, "publish">;
  presentGroups: PresentGroups;
  /** The rights of the user of a name now; none where there is no such user. */
  rightsOf: (user: string, signal: AbortSignal) => Promise<Rights>;
  visiblePages: VisiblePages;
  clock: Clock;
  log: Log;
  /** Answers Check; without it Check is answered `unimplemented`. */
  check?: UnaryHandler<typeof AccessService.method.check>;
}>;

/** Those of sessions are in session-handlers.ts. */
type Handlers = Omit<ServiceHandlers<typeof AccessService>, "createSession" | "listSessions" | "deleteSession">;

/**
 * AccessService: enrolment tokens, and the tokens of devices. Each end of a token is announced after it is
 * stored; open watches end with it.
 */
export function createAccessServiceHandlers(parts: AccessServiceParts): Omit<Handlers, "check"> & Partial<Pick<Handlers, "check">> {
  const { accessStore, configStore, changeFeed, presentGroups, rightsOf, visiblePages, clock, log, check } = parts;
  const limitRotations = createRotationLimit(clock);
  /** Also where the outcome is not known: an event is a reason to look. No answer waits for it. */
  const ended = (subject: string) => changeFeed.publish({ kind: "access", subject });

  /**
   * An enrolment token has the rights of its maker, as they are now: `rw` on the token's group, and on the group that
   * the device is in. Nothing is looked at for a token that the store refuses, nor for a device that is in with this
   * token already.
   */
  async function assertMayEnrol(deviceId: string, hash: string, enrolmentHash: string, signal: AbortSignal): Promise<void> {
    const enrolment = await accessStore.enrolmentByTokenHash(enrolmentHash, signal);
    if (enrolment === undefined || enrolment.usesLeft === 0 || enrolment.expiresAt <= clock.now()) return;
    const token = await accessStore.deviceToken(deviceId, signal);
    if (token?.tokenHash === hash || token?.nextHash === hash) return;
    const rights = await rightsOf(enrolment.createdBy, signal);
    if (!mayWrite(rights, groupKey(enrolment.deviceGroup))) throw makerHasNoRights(enrolment.deviceGroup);
    presentGroups.forget(deviceId); // an enrolment is rare: it goes by what the stores hold now
    const present = await presentGroups.of(deviceId, signal);
    if (present !== undefined && !mayWrite(rights, groupKey(present.deviceGroup))) throw inUseElsewhere(deviceId);
  }

  return {
    ...(check !== undefined && { check }),

    async createEnrolmentToken(request, { principal, requestId, changed, signal }) {
      assertNoViolations(validateEnrolmentRequest(request));
      const { deviceGroup, uses, expiresInSeconds } = request;
      const group = await configStore.get(groupKey(deviceGroup), { signal });
      if (group === undefined || group.deleted) throw noSuch("device_group", deviceGroup);
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
      if ((await accessStore.createEnrolment(enrolment, signal)) === "unknown")
        throw new NebulaError("unavailable", "the store did not say whether the enrolment token is made: make another one");
      changed({ kind: "enrolment_token", name: enrolment.id, detail: `made for ${enrolment.usesLeft} devices of ${deviceGroup}` });
      log.info({ id: enrolment.id, deviceGroup, by: nameOf(principal), requestId }, "enrolment token made");
      return { enrolmentToken: enrolmentMessage(enrolment), token };
    },

    async listEnrolmentTokens(request, { principal, signal }) {
      const page = pageOf(request);
      const group = groupOf(request.deviceGroup, principal);
      const nowMs = clock.now();
      const { items, next } = await visiblePages(
        (part) => accessStore.listEnrolments({ ...group, nowMs }, part, signal),
        page,
        changeable(principal),
      );
      return { enrolmentTokens: items.map(enrolmentMessage), nextPageToken: next ?? "" };
    },

    async revokeEnrolmentToken({ id }, { principal, requestId, changed, signal }) {
      assertNoViolations(enrolmentIdViolations(id, "id"));
      const missing = () => noSuch("enrolment token", id, "the list of enrolment tokens has those that are valid");
      if (!mayRevoke(principal, await accessStore.enrolment(id, signal))) throw missing();
      const outcome = await accessStore.revokeEnrolment(id, signal);
      ended(`enrolment/${id}`);
      assertRevoked(outcome, missing);
      changed({ kind: "enrolment_token", name: id, detail: "revoked" });
      log.info({ id, by: nameOf(principal), requestId }, "enrolment token revoked");
      return {};
    },

    async enrollDevice(request, { principal, requestId, changed, signal }) {
      assertNoViolations(validateEnrolment(request));
      if (principal.kind !== "enrolment") throw new NebulaError("permission_denied", "only an enrolment token takes a device in");
      const { deviceId } = request;
      const hash = hex(request.tokenHash);
      await assertMayEnrol(deviceId, hash, principal.tokenHash, signal);
      const outcome: EnrolOutcome = await accessStore.enrol(
        { deviceId, tokenHash: hash, enrolmentHash: principal.tokenHash, nowMs: clock.now() },
        signal,
      );
      presentGroups.forget(deviceId);
      const { deviceGroup, again } = enrolledGroup(outcome, deviceId);
      if (!again) {
        changed({ kind: "device", name: deviceId, detail: `enrolled in ${deviceGroup}` });
        log.info({ deviceId, deviceGroup, requestId }, "device enrolled");
      }
      return { deviceGroup };
    },

    async rotateDeviceToken({ nextTokenHash }, { principal, requestId, changed, signal }) {
      assertNoViolations(tokenHashViolations(nextTokenHash, "next_token_hash"));
      if (principal.kind !== "device") throw new NebulaError("permission_denied", "only a device rotates its own token");
      const { deviceId } = principal;
      limitRotations(deviceId);
      const outcome = await accessStore.announceNext(principal.tokenHash, hex(nextTokenHash), signal);
      if (outcome === "unknown") throw new NebulaError("unavailable", "the store did not say whether the next token is announced: announce it again");
      if (outcome === "absent") {
        throw new NebulaError("unauthenticated", `the token of the device ${shown(deviceId)} has ended: it was revoked, or its next one is in use`);
      }
      changed({ kind: "device", name: deviceId, detail: "next token announced" });
      log.info({ deviceId, requestId }, "device announced its next token");
      return {};
    },

    async listDeviceTokens(request, { principal, signal }) {
      const page = pageOf(request);
      const group = groupOf(request.deviceGroup, principal);
      if (request.deviceId !== "") {
        assertNoViolations(deviceIdViolations(request.deviceId, "device_id"));
        const token = await accessStore.deviceToken(request.deviceId, signal);
        const isListed = token !== undefined && (group.deviceGroup ?? token.deviceGroup) === token.deviceGroup && mayRevoke(principal, token);
        return { deviceTokens: isListed ? [deviceMessage(token)] : [] };
      }
      const { items, next } = await visiblePages((part) => accessStore.listDeviceTokens(group, part, signal), page, changeable(principal));
      return { deviceTokens: items.map(deviceMessage), nextPageToken: next ?? "" };
    },

    async revokeDeviceToken({ deviceId }, { principal, requestId, changed, signal }) {
      assertNoViolations(deviceIdViolations(deviceId, "device_id"));
      const missing = () => noSuch("token of a device", deviceId, "the list of device tokens has the devices that have one");
      if (!mayRevoke(principal, await accessStore.deviceToken(deviceId, signal))) throw missing();
      const outcome = await accessStore.revokeDeviceToken(deviceId, signal);
      presentGroups.forget(deviceId);
      ended(`device/${deviceId}`);
      assertRevoked(outcome, missing);
      changed({ kind: "device", name: deviceId, detail: "token revoked" });
      log.info({ deviceId, by: nameOf(principal), requestId }, "device token revoked");
      return {};
    },
  };
}

/** The filter of a list; throws `permission_denied` for a device_group whose tokens the caller may not see. */
function groupOf(deviceGroup: string, principal: Principal): { deviceGroup?: string } {
  if (deviceGroup === "") return {};
  assertPermitted(principal, { kind: "write", entity: groupKey(deviceGroup) }, false);
  return { deviceGroup };
}

/** A caller who may change a device_group sees and ends the tokens that lead into it. */
function changeable(principal: Principal): ((token: Readonly<{ deviceGroup: string }>) => boolean) | undefined {
  return changeableBy(principal, ({ deviceGroup }) => deviceGroup);
}

/**
 * A token that is gone may be revoked again by an admin alone: that renews the access stamp, should the first call have
 * been cut before.
 */
function mayRevoke(principal: Principal, token: Readonly<{ deviceGroup: string }> | undefined): boolean {
  const may = changeable(principal);
  return may === undefined || (token !== undefined && may(token));
}

function assertRevoked(outcome: ChangeOutcome, missing: () => NebulaError): void {
  if (outcome === "absent") throw missing();
  if (outcome === "unknown") throw new NebulaError("unavailable", "the store did not say whether the token is revoked: revoke it again");
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
