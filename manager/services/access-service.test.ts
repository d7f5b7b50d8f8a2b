import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { type ErrorKind, isNebulaError } from "../../common/errors/nebula-error.ts";
import type { FeedEvent } from "../../common/feed/change-feed.ts";
import { silentLog } from "../../common/log/log.ts";
import type { StoredEntity } from "../../common/storage/config-store.ts";
import { openSqliteAccessStore } from "../../common/storage/sqlite/access/access-store.ts";
import {
  CreateEnrolmentTokenRequestSchema,
  CreateEnrolmentTokenResponseSchema,
  EnrollDeviceRequestSchema,
  ListDeviceTokensRequestSchema,
  ListDeviceTokensResponseSchema,
  ListEnrolmentTokensRequestSchema,
  ListEnrolmentTokensResponseSchema,
  RevokeDeviceTokenRequestSchema,
  RevokeEnrolmentTokenRequestSchema,
  RotateDeviceTokenRequestSchema,
} from "../../gen/nebula/v1/access_pb.ts";
import { type Device, DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { inUseElsewhere, PresentGroups } from "../access/present-groups.ts";
import type { Principal } from "../access/principal.ts";
import { ADMIN_RIGHTS, NO_RIGHTS, rightsOf } from "../access/rights/rights.ts";
import type { Changed } from "../audit/call-record.ts";
import type { CallContext } from "../rpc/call-context.ts";
import { TEST_PAGES } from "../testing/test-access.ts";
import { createAccessServiceHandlers } from "./access-service.ts";

const ADMIN: Principal = { kind: "user", name: "root", rights: ADMIN_RIGHTS };
const userWith = (deviceGroups: Record<string, string>): Principal => ({
  kind: "user",
  name: "ann",
  rights: rightsOf([create(UserGroupSchema, { deviceGroups })]),
});
const bytesOf = (token: string) => Buffer.from(tokenHash(token), "hex");
const kind = (expected: ErrorKind, message?: RegExp) => (error: unknown) => {
  assert.ok(isNebulaError(error, expected), String(error));
  if (message !== undefined) assert.match(error.message, message);
  return true;
};

/** The service over a real store; the groups shop and pos are there, and `gone` was deleted. */
async function start() {
  const accessStore = await openSqliteAccessStore({ path: ":memory:" });
  const clock = new ManualClock();
  const published: FeedEvent[] = [];
  const changes: Changed[] = [];
  /** The newest status of devices, by device_id. */
  const statuses = new Map<string, Device>();
  const rights = new Map([["root", ADMIN_RIGHTS]]);
  const stored = (name: string): StoredEntity | undefined =>
    ["shop", "pos", "gone"].includes(name)
      ? { kind: "device_group", name, revision: 1n, body: new Uint8Array(), action: "create", deleted: name === "gone", changedAt: 0, changedBy: "" }
      : undefined;
  const service = createAccessServiceHandlers({
    accessStore,
    configStore: { get: async ({ name }) => stored(name) },
    changeFeed: {
      publish: (event) => {
        published.push(event);
      },
    },
    presentGroups: new PresentGroups({
      accessStore,
      reportStore: { getDevice: async (deviceId) => statuses.get(deviceId) },
      clock,
      cacheTimeMs: 10_000,
    }),
    rightsOf: async (user) => rights.get(user) ?? NO_RIGHTS,
    visiblePages: TEST_PAGES,
    clock,
    log: silentLog,
  });
  const as = (principal: Principal): CallContext => ({
    principal,
    signal: new AbortController().signal,
    peer: "test",
    requestId: "r",
    changed: (change) => void changes.push(change),
  });
  type Init<S extends Parameters<typeof create>[0]> = Exclude<MessageInitShape<S>, { $typeName: string }>;
  return {
    accessStore,
    clock,
    published,
    changes,
    statuses,
    /** The rights of users now, by name. */
    rights,
    make: async (request: Init<typeof CreateEnrolmentTokenRequestSchema>, by = ADMIN) => {
      const answer = await service.createEnrolmentToken(create(CreateEnrolmentTokenRequestSchema, request), as(by));
      const { token, enrolmentToken: enrolment } = create(CreateEnrolmentTokenResponseSchema, answer);
      return { token, enrolment };
    },
    enrolments: async (request: Init<typeof ListEnrolmentTokensRequestSchema> = {}, by = ADMIN) =>
      create(ListEnrolmentTokensResponseSchema, await service.listEnrolmentTokens(create(ListEnrolmentTokensRequestSchema, request), as(by))),
    revokeEnrolment: (id: string, by = ADMIN) => service.revokeEnrolmentToken(create(RevokeEnrolmentTokenRequestSchema, { id }), as(by)),
    enroll: async (deviceId: string, token: string, enrolToken: string) => {
      const principal: Principal = { kind: "enrolment", tokenHash: tokenHash(enrolToken), deviceGroup: "shop" };
      return (await service.enrollDevice(create(EnrollDeviceRequestSchema, { deviceId, tokenHash: bytesOf(token) }), as(principal))).deviceGroup;
    },
    rotate: (token: string, next: string) => {
      const principal: Principal = { kind: "device", deviceId: "d1", deviceGroup: "shop", tokenHash: tokenHash(token) };
      return service.rotateDeviceToken(create(RotateDeviceTokenRequestSchema, { nextTokenHash: bytesOf(next) }), as(principal));
    },
    devices: async (request: Init<typeof ListDeviceTokensRequestSchema> = {}, by = ADMIN) =>
      create(ListDeviceTokensResponseSchema, await service.listDeviceTokens(create(ListDeviceTokensRequestSchema, request), as(by))),
    revokeDevice: (deviceId: string, by = ADMIN) => service.revokeDeviceToken(create(RevokeDeviceTokenRequestSchema, { deviceId }), as(by)),
    [Symbol.asyncDispose]: () => accessStore[Symbol.asyncDispose](),
  };
}

describe("AccessService", () => {
  it("CreateEnrolmentToken makes tokens of 256 bits, keeps only their hash, and lists those that are valid, newest first", async () => {
    await using rig = await start();
    const { token, enrolment } = await rig.make({ deviceGroup: "shop" });
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.match(enrolment?.id ?? "", /^[0-9a-f]{16}$/);
    assert.equal((await rig.accessStore.enrolmentByTokenHash(tokenHash(token)))?.usesLeft, 1);
    await rig.clock.advance(1000);
    const second = await rig.make({ deviceGroup: "pos", uses: 5, expiresInSeconds: 3600 });
    const { enrolmentTokens } = await rig.enrolments();
    assert.deepEqual(
      enrolmentTokens.map(({ id, deviceGroup, usesLeft, createdBy }) => [id, deviceGroup, usesLeft, createdBy]),
      [
        [second.enrolment?.id, "pos", 5, "root"],
        [enrolment?.id, "shop", 1, "root"],
      ],
    );
    const expiry = enrolmentTokens.map(({ expiresAt }) => expiresAt && timestampMs(expiresAt) - rig.clock.now());
    assert.deepEqual(expiry, [3_600_000, 86_400_000 - 1000]);
    assert.ok(!JSON.stringify(rig.changes).includes(token));
    await rig.clock.advance(3_600_000);
    assert.equal((await rig.enrolments()).enrolmentTokens.length, 1);
  });

  it("an enrolment token is refused for a device_group that does not exist, and with invalid fields", async () => {
    await using rig = await start();
    for (const deviceGroup of ["none", "gone"]) await assert.rejects(rig.make({ deviceGroup }), kind("not_found", new RegExp(deviceGroup)));
    const wrong = { deviceGroup: "a b", uses: 1_000_001, expiresInSeconds: 31_536_001 };
    await assert.rejects(rig.make(wrong), (error) => {
      assert.ok(isNebulaError(error, "invalid_argument"));
      assert.deepEqual(
        error.violations.map(({ field }) => field),
        ["device_group", "uses", "expires_in_seconds"],
      );
      return true;
    });
    assert.deepEqual(rig.changes, []);
  });

  it("a device is enrolled once per use; the same call again changes nothing, another is refused with the way out", async () => {
    await using rig = await start();
    const { token } = await rig.make({ deviceGroup: "shop", uses: 2 });
    assert.equal(await rig.enroll("d1", "t1", token), "shop");
    assert.equal(await rig.enroll("d1", "t1", token), "shop");
    assert.equal((await rig.enrolments()).enrolmentTokens[0]?.usesLeft, 1);
    await assert.rejects(rig.enroll("d1", "t2", token), kind("already_exists", /nebulactl devices revoke d1/));
    await assert.rejects(rig.enroll("d2", "t1", token), kind("already_exists", /one of its own/));
    await rig.enroll("d2", "t2", token);
    await assert.rejects(rig.enroll("d3", "t3", token), kind("permission_denied", /used up/));
    assert.equal(await rig.enroll("d2", "t2", token), "shop", "a lost answer may be asked for again");
    const late = await rig.make({ deviceGroup: "shop", expiresInSeconds: 60 });
    await rig.clock.advance(60_000);
    await assert.rejects(rig.enroll("d3", "t3", late.token), kind("permission_denied", /expired/));
    await assert.rejects(rig.enroll("d3", "t3", "never made"), kind("unauthenticated", /not known/));
    await assert.rejects(rig.enroll("-", "t3", token), kind("invalid_argument", /device_id/));
    assert.deepEqual(
      rig.changes.filter((change) => change.kind === "device").map(({ name, detail }) => [name, detail]),
      [
        ["d1", "enrolled in shop"],
        ["d2", "enrolled in shop"],
      ],
    );
    assert.deepEqual(rig.published, [], "nothing has ended");
  });

  it("a device's next token is announced, for the one in use alone", async () => {
    await using rig = await start();
    const { token } = await rig.make({ deviceGroup: "shop" });
    await rig.enroll("d1", "t1", token);
    await rig.rotate("t1", "t2");
    assert.equal((await rig.devices()).deviceTokens[0]?.rotating, true);
    await assert.rejects(rig.rotate("t0", "t3"), kind("unauthenticated"));
    await assert.rejects(rig.rotate("t1", token), kind("already_exists"));
    assert.equal(await rig.accessStore.promoteNext(tokenHash("t2"), rig.clock.now()), "done");
    const [device] = (await rig.devices()).deviceTokens;
    assert.equal(device?.rotating, false);
    assert.equal(device?.rotatedAt && timestampMs(device.rotatedAt), rig.clock.now());
  });

  it("a device of another group is enrolled only where the maker of the enrolment token has rw there, and a refusal says nothing else", async () => {
    await using rig = await start();
    const ann = userWith({ shop: "rw", pos: "ro" });
    const grant = (deviceGroups: Record<string, string>) => rig.rights.set("ann", rightsOf([create(UserGroupSchema, { deviceGroups })]));
    grant({ shop: "rw", pos: "ro" });
    const { token } = await rig.make({ deviceGroup: "shop", uses: 5 }, ann);
    rig.statuses.set("till", create(DeviceSchema, { deviceId: "till", deviceGroup: "pos" }));
    const pos = await rig.make({ deviceGroup: "pos" });
    await rig.enroll("kiosk", "t2", pos.token);
    const elsewhere = (deviceId: string) => (error: unknown) => {
      assert.ok(isNebulaError(error, "permission_denied"), String(error));
      assert.equal(error.message, inUseElsewhere(deviceId).message);
      return error.audited;
    };
    await assert.rejects(rig.enroll("till", "t1", token), elsewhere("till")); // has a status alone
    await assert.rejects(rig.enroll("kiosk", "t3", token), elsewhere("kiosk")); // has a token of its own
    assert.equal((await rig.accessStore.enrolmentByTokenHash(tokenHash(token)))?.usesLeft, 5);
    assert.equal(await rig.accessStore.deviceToken("till"), undefined);
    grant({ shop: "rw", pos: "rw" });
    assert.equal(await rig.enroll("till", "t1", token), "shop");
    await assert.rejects(rig.enroll("kiosk", "t3", token), kind("already_exists", /nebulactl devices revoke kiosk/));
  });

  it("a token whose maker has lost its rights enrols no device, but answers one that is enrolled already", async () => {
    await using rig = await start();
    const ann = userWith({ shop: "rw" });
    rig.rights.set("ann", rightsOf([create(UserGroupSchema, { deviceGroups: { shop: "rw" } })]));
    const { token } = await rig.make({ deviceGroup: "shop", uses: 5 }, ann);
    await rig.enroll("d1", "t1", token);
    rig.rights.delete("ann");
    await assert.rejects(rig.enroll("d2", "t2", token), kind("permission_denied", /its maker has no rw on the device_group shop any more/));
    assert.equal(await rig.enroll("d1", "t1", token), "shop");
  });

  it("a revocation is announced after it is stored, and the device can enrol again", async () => {
    await using rig = await start();
    const { token, enrolment } = await rig.make({ deviceGroup: "shop", uses: 2 });
    await rig.enroll("d1", "t1", token);
    await rig.revokeDevice("d1");
    assert.equal(await rig.accessStore.deviceByTokenHash(tokenHash("t1")), undefined);
    await rig.enroll("d1", "t2", token);
    await rig.revokeEnrolment(enrolment?.id ?? "");
    await assert.rejects(rig.enroll("d2", "t3", token), kind("unauthenticated"));
    assert.deepEqual(rig.published, [
      { kind: "access", subject: "device/d1" },
      { kind: "access", subject: `enrolment/${enrolment?.id}` },
    ]);
    await assert.rejects(rig.revokeDevice("d9"), kind("not_found", /d9/));
    await assert.rejects(rig.revokeEnrolment("0123456789abcdef"), kind("not_found"));
    await assert.rejects(rig.revokeEnrolment("x"), kind("invalid_argument"));
  });

  it("tokens are shown and ended only for device_groups on which the caller has rw", async () => {
    await using rig = await start();
    const shop = await rig.make({ deviceGroup: "shop", uses: 3 });
    const pos = await rig.make({ deviceGroup: "pos", uses: 3 });
    for (const name of ["a", "c", "e"]) await rig.enroll(name, `t${name}`, shop.token);
    for (const name of ["b", "d", "f"]) await rig.enroll(name, `t${name}`, pos.token);
    const more = await rig.make({ deviceGroup: "shop" });
    const ann = userWith({ shop: "ro", "po*": "rw" });
    const seen: string[] = [];
    for (let pageToken = ""; ; ) {
      const { deviceTokens, nextPageToken } = await rig.devices({ pageSize: 1, pageToken }, ann);
      seen.push(...deviceTokens.map(({ deviceId }) => deviceId));
      if (nextPageToken === "") break;
      pageToken = nextPageToken;
    }
    assert.deepEqual(seen, ["b", "d", "f"]);
    assert.deepEqual((await rig.enrolments({}, ann)).enrolmentTokens, []);
    await assert.rejects(rig.devices({ deviceGroup: "shop" }, ann), kind("permission_denied", /rw on the device_group shop/));
    await assert.rejects(rig.enrolments({ deviceGroup: "shop" }, ann), kind("permission_denied"));
    await assert.rejects(rig.revokeDevice("a", ann), kind("not_found"));
    await assert.rejects(rig.revokeEnrolment(more.enrolment?.id ?? "", ann), kind("not_found"));
    assert.equal((await rig.devices({ deviceGroup: "shop" })).deviceTokens.length, 3, "nothing was ended");
    await rig.revokeDevice("b", ann);
    assert.deepEqual(
      (await rig.devices({ deviceGroup: "pos" }, ann)).deviceTokens.map(({ deviceId }) => deviceId),
      ["d", "f"],
    );
  });

  it("the token of one device is listed by its id, for those who have rw on its device_group alone", async () => {
    await using rig = await start();
    const { token } = await rig.make({ deviceGroup: "shop", uses: 2 });
    for (const name of ["a", "b"]) await rig.enroll(name, `t${name}`, token);
    const listed = async (...args: Parameters<typeof rig.devices>) => (await rig.devices(...args)).deviceTokens.map(({ deviceId }) => deviceId);
    assert.deepEqual(await listed({ deviceId: "b" }), ["b"]);
    assert.deepEqual(await listed({ deviceId: "b", deviceGroup: "shop" }), ["b"]);
    assert.deepEqual(await listed({ deviceId: "b", deviceGroup: "pos" }), []);
    assert.deepEqual(await listed({ deviceId: "unknown" }), []);
    assert.deepEqual(await listed({ deviceId: "b" }, userWith({ shop: "rw" })), ["b"]);
    assert.deepEqual(await listed({ deviceId: "b" }, userWith({ shop: "ro", pos: "rw" })), []);
    await assert.rejects(rig.devices({ deviceId: "a b" }), kind("invalid_argument", /device_id/));
  });

  it("a device cannot exchange its token without end: all others would pay for it", async () => {
    await using rig = await start();
    const { token } = await rig.make({ deviceGroup: "shop" });
    let own = newToken();
    await rig.enroll("d1", own, token);
    const exchange = async () => {
      const next = newToken();
      await rig.rotate(own, next);
      assert.equal(await rig.accessStore.promoteNext(tokenHash(next), rig.clock.now()), "done");
      own = next;
    };
    for (let times = 0; times < 60; times++) await exchange();
    await assert.rejects(exchange(), kind("resource_exhausted", /d1 exchanges its token too often/));
    await rig.clock.advance(10_000);
    await exchange();
  });
});
