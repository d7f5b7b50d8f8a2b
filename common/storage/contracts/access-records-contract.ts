import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuditEntrySchema } from "../../../gen/nebula/v1/audit_pb.ts";
import { systemClock } from "../../clock/system-clock.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readAll } from "../../testing/read-all.ts";
import { type AccessRecord, type AccessStore, recordKey } from "../access-store.ts";
import { auditId } from "../audit-id.ts";
import { freshSamples, NOW_MS } from "./access-store-samples.ts";
import { collect } from "./records.ts";

/** The contract of AccessStore for a move to another store, while nothing else uses it. */
export function describeAccessRecords(storeOf: () => AccessStore): void {
  describe("records for another store", () => {
    let store: AccessStore;
    let { n, hashOf, userWrite, groupWrite, enrolment, device } = freshSamples();
    beforeEach(() => {
      store = storeOf();
      ({ n, hashOf, userWrite, groupWrite, enrolment, device } = freshSamples());
    });
    const own = (kind: AccessRecord["kind"]) =>
      collect(store.records.everything(kind), (record) => {
        if (record.kind === "audit") return n.isOwn(record.entry.who);
        return record.kind === "enrolment" ? n.isOwn(record.enrolment.deviceGroup) : n.isOwn(recordKey(record));
      });

    it("users and user_groups are handed over, tombstones included", async () => {
      await store.writeUser(userWrite("ann", 0n));
      await store.writeUser(userWrite("bob", 0n));
      await store.writeUser(userWrite("bob", 1n, { deleted: true }));
      await store.writeUserGroup(groupWrite("staff", 0n, { members: ["bob", "ann"] }));
      const users = (await own("user")).map((record) =>
        record.kind === "user" ? [record.user.name, record.user.revision, record.user.deleted] : [],
      );
      assert.deepEqual(users.sort(), [
        [n("ann"), 1n, false],
        [n("bob"), 2n, true],
      ]);
      const [staff] = await own("user_group");
      assert.deepEqual(staff, { kind: "user_group", userGroup: await store.getUserGroup(n("staff")) });
      assert.deepEqual(await store.records.counterpart(staff ?? assert.fail()), staff);
    });

    it("adopted users and user_groups have their revisions, tokens and members", async () => {
      const { expected: _, ...ann } = userWrite("ann", 6n);
      const { expected: __, ...gone } = userWrite("gone", 2n, { deleted: true, passwordHash: "", tokenHash: "" });
      const { expected: ___, ...staff } = groupWrite("staff", 4n, { members: ["ann"] });
      for (let time = 0; time < 2; time++) {
        await store.records.adopt({ kind: "user", user: ann });
        await store.records.adopt({ kind: "user", user: gone });
        await store.records.adopt({ kind: "user_group", userGroup: staff });
      }
      assert.deepEqual(await store.getUser(n("ann")), ann);
      assert.deepEqual(await store.tokenOwner(ann.tokenHash), { kind: "user", user: ann });
      assert.deepEqual(
        (await store.groupsOf(n("ann"))).map(({ name, revision }) => [name, revision]),
        [[n("staff"), 5n]],
      );
      assert.deepEqual(await store.writeUser(userWrite("gone", 0n)), { kind: "conflict", revision: 3n });
      assert.deepEqual(await store.writeUser(userWrite("ann", 7n)), { kind: "written" });
      await assert.rejects(store.records.adopt({ kind: "user", user: ann }), (error) => isNebulaError(error, "failed_precondition"));
    });

    it("enrolment tokens and enrolled devices are handed over, and nothing of those that were revoked", async () => {
      await store.createEnrolment(enrolment("e1", { usesLeft: 3 }));
      await store.createEnrolment(enrolment("e2"));
      await store.revokeEnrolment(enrolment("e2").id);
      for (const id of ["d1", "d2"]) assert.equal((await store.enrol(device(id))).kind, "enrolled");
      await store.announceNext(device("d1").tokenHash, hashOf("next of d1"));
      await store.revokeDeviceToken(n("d2"));
      assert.deepEqual(await own("enrolment"), [{ kind: "enrolment", enrolment: { ...enrolment("e1"), usesLeft: 1 } }]);
      const devices = await own("device");
      assert.deepEqual(devices, [{ kind: "device", device: await store.deviceToken(n("d1")) }]);
      assert.ok(devices[0]?.kind === "device" && devices[0].device.nextHash === hashOf("next of d1"));
    });

    it("tokens of adopted devices authenticate, rotate and are revoked as before", async () => {
      const adopted = {
        deviceId: n("d1"),
        deviceGroup: n("shops"),
        tokenHash: hashOf("in use"),
        nextHash: hashOf("next"),
        enrolmentId: enrolment("e1").id,
        enrolledAt: NOW_MS,
        rotatedAt: NOW_MS + 5,
      };
      for (let time = 0; time < 2; time++) await store.records.adopt({ kind: "device", device: adopted });
      assert.deepEqual(await store.deviceToken(n("d1")), adopted);
      assert.deepEqual(await readAll((page) => store.listDeviceTokens({ deviceGroup: n("shops") }, page), 10), [adopted]);
      const owner = { kind: "device", deviceId: n("d1"), deviceGroup: n("shops") };
      assert.deepEqual(await store.tokenOwner(hashOf("in use")), { ...owner, isNext: false });
      assert.deepEqual(await store.tokenOwner(hashOf("next")), { ...owner, isNext: true });
      assert.equal(await store.promoteNext(hashOf("next"), NOW_MS + 9), "done");
      assert.equal(await store.tokenOwner(hashOf("in use")), undefined);
      assert.deepEqual(await store.tokenOwner(hashOf("next")), { ...owner, isNext: false });
      const other = { ...adopted, deviceId: n("d2"), tokenHash: hashOf("next"), nextHash: "" };
      await assert.rejects(store.records.adopt({ kind: "device", device: other }), (error) => isNebulaError(error, "already_exists"));
      assert.equal(await store.deviceToken(n("d2")), undefined);
      assert.equal(await store.revokeDeviceToken(n("d1")), "done");
      assert.equal(await store.tokenOwner(hashOf("next")), undefined);
    });

    it("an adopted enrolment token admits as many devices as it had uses left", async () => {
      const adopted = enrolment("e1", { usesLeft: 1 });
      for (let time = 0; time < 2; time++) await store.records.adopt({ kind: "enrolment", enrolment: adopted });
      assert.deepEqual((await store.listEnrolments({ deviceGroup: n("shops"), nowMs: NOW_MS }, { limit: 9 })).items, [adopted]);
      assert.equal((await store.enrol(device("d1"))).kind, "enrolled");
      assert.deepEqual(await store.enrol(device("d2")), { kind: "not_valid", why: "used_up" });
    });

    it("adopted entries of the audit log keep their ids and their order, also above 2^53", async () => {
      const at = systemClock.now(); // a store counts what is left of its retention from there
      const entry = (number: bigint, detail: string) =>
        create(AuditEntrySchema, { id: auditId({ at, number }), at: timestampFromMs(at), who: n("ann"), outcome: "OK", detail });
      const [low, high] = [entry(3n, "low"), entry(2n ** 54n + 7n, "high")];
      for (let time = 0; time < 2; time++) for (const each of [high, low]) await store.records.adopt({ kind: "audit", entry: each });
      await store.appendAudit([create(AuditEntrySchema, { at: timestampFromMs(at + 1), who: n("ann"), outcome: "OK", detail: "newer" })]);
      const listed = await readAll((page) => store.listAudit({ who: n("ann"), fromMs: at, untilMs: at + 2 }, page), 1);
      assert.deepEqual(
        listed.map(({ detail }) => detail),
        ["newer", "high", "low"],
      );
      assert.deepEqual(listed.slice(1), [high, low]);
      assert.deepEqual(await store.records.counterpart({ kind: "audit", entry: high }), { kind: "audit", entry: high });
      assert.equal(await store.records.counterpart({ kind: "audit", entry: entry(5n, "absent") }), undefined);
      assert.deepEqual(
        (await own("audit")).map((record) => record.kind === "audit" && record.entry.detail),
        ["newer", "high", "low"],
      );
    });
  });
}
