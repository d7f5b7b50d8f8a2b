import { strict as assert } from "node:assert";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readAll } from "../../testing/read-all.ts";
import type { AccessStore } from "../access-store.ts";
import { type ContractEffort, describeAccessInvariants } from "./access-invariants-contract.ts";
import { describeAccessRecords } from "./access-records-contract.ts";
import { freshSamples, NOW_MS } from "./access-store-samples.ts";
import { describeAuditLog } from "./audit-log-contract.ts";
import { describeSessions } from "./sessions-contract.ts";

export type OpenAccessStore = () => Promise<{ store: AccessStore; reopen?: () => Promise<AccessStore> }>;

const ALL: ContractEffort = { runs: 40 };

/**
 * The promises of every AccessStore. `open` yields a store, which all tests share: each uses names of its own. `reopen`
 * closes the store and opens what it left (absent where a store keeps nothing).
 */
export function describeAccessStore(driver: string, open: OpenAccessStore, effort = ALL): void {
  describe(`AccessStore: ${driver}`, () => {
    let store: AccessStore;
    let reopen: (() => Promise<AccessStore>) | undefined;
    let { n, hashOf, userWrite, groupWrite, enrolment, device, session } = freshSamples();
    before(async () => {
      ({ store, reopen } = await open());
    });
    after(() => store[Symbol.asyncDispose]());
    beforeEach(() => {
      ({ n, hashOf, userWrite, groupWrite, enrolment, device, session } = freshSamples());
    });
    const ownNames = (items: readonly { name: string }[]) => items.map(({ name }) => name).filter(n.isOwn);

    describe("users", () => {
      it("a new store has no users", async () => {
        assert.equal(await store.getUser(n("ann")), undefined);
        for (const hash of ["", hashOf("t")]) assert.equal(await store.userByTokenHash(hash), undefined);
        assert.deepEqual(await store.groupsOf(n("ann")), []);
      });

      it("a user is read back as written, by name and by the token's hash", async () => {
        const { expected, ...ann } = userWrite("ann", 0n);
        assert.deepEqual(await store.writeUser({ ...ann, expected }), { kind: "written" });
        assert.deepEqual(await store.getUser(n("ann")), ann);
        assert.deepEqual(await store.userByTokenHash(ann.tokenHash), ann);
      });

      it("users, and user_groups, whose names differ in case alone are found, and deleted ones are not", async () => {
        for (const name of ["ann", "Ann", "ANN", "annA"]) {
          await store.writeUser(userWrite(name, 0n, { tokenHash: "" }));
          await store.writeUserGroup(groupWrite(name, 0n));
        }
        await store.writeUser(userWrite("ANN", 1n, { deleted: true }));
        assert.deepEqual(await store.usersInOtherCase(n("ann")), [n("Ann")]);
        assert.deepEqual(await store.userGroupsInOtherCase(n("ann")), [n("ANN"), n("Ann")]);
        assert.deepEqual(await store.usersInOtherCase(n("bob")), []);
      });

      it("a write that expects another revision is refused, and changes nothing", async () => {
        const ann = userWrite("ann", 0n);
        await store.writeUser(ann);
        for (const expected of [0n, 2n]) {
          assert.deepEqual(await store.writeUser(userWrite("ann", expected, { tokenHash: hashOf("loser") })), { kind: "conflict", revision: 1n });
        }
        assert.equal(await store.userByTokenHash(hashOf("loser")), undefined);
        assert.equal((await store.userByTokenHash(ann.tokenHash))?.revision, 1n);
        assert.deepEqual(await store.writeUser(userWrite("bob", 1n)), { kind: "conflict", revision: 0n });
      });

      it("a revision that does not rise is refused (A2)", async () => {
        await store.writeUser(userWrite("ann", 0n));
        await store.writeUserGroup(groupWrite("staff", 0n));
        await assert.rejects(store.writeUser(userWrite("ann", 1n, { revision: 1n })), (error) => isNebulaError(error));
        await assert.rejects(store.writeUserGroup(groupWrite("staff", 1n, { revision: 1n })), (error) => isNebulaError(error));
      });

      it("a revision goes to exactly one of 20 writers that race (A2)", async () => {
        const winners = new Map<bigint, string>();
        const race = async (writer: string) => {
          for (let done = false; !done; ) {
            const revision = (await store.getUser(n("ann")))?.revision ?? 0n;
            const outcome = await store.writeUser(userWrite("ann", revision, { changedBy: writer }));
            if (outcome.kind !== "written") continue;
            assert.equal(winners.has(revision + 1n), false, "a revision was given twice");
            winners.set(revision + 1n, writer);
            done = true;
          }
        };
        await Promise.all(Array.from({ length: 20 }, (_, i) => race(`writer-${i}`)));
        const ann = await store.getUser(n("ann"));
        assert.deepEqual([ann?.revision, ann?.changedBy], [20n, winners.get(20n)]);
      });

      it("a deleted user stays as a tombstone without credentials, that lists skip and a create continues (A2)", async () => {
        const ann = userWrite("ann", 0n);
        await store.writeUser(ann);
        await store.writeUser(userWrite("ann", 1n, { deleted: true, tokenHash: ann.tokenHash }));
        const tombstone = await store.getUser(n("ann"));
        assert.deepEqual([tombstone?.deleted, tombstone?.revision, tombstone?.passwordHash, tombstone?.tokenHash], [true, 2n, "", ""]);
        assert.equal(await store.userByTokenHash(ann.tokenHash), undefined);
        assert.deepEqual(ownNames(await readAll((page) => store.listUsers(page), 1000)), []);
        assert.deepEqual(await store.writeUser(userWrite("ann", 0n)), { kind: "conflict", revision: 2n });
        assert.deepEqual(await store.writeUser(userWrite("bob", 0n, { tokenHash: ann.tokenHash })), { kind: "written" }, "the hash is free");
        assert.deepEqual(await store.writeUser(userWrite("ann", 2n, { tokenHash: "" })), { kind: "written" });
        assert.equal((await store.getUser(n("ann")))?.deleted, false);
      });

      it("a user's token ends with the write that puts another in its place, or none", async () => {
        const first = userWrite("ann", 0n);
        await store.writeUser(first);
        await store.writeUser(userWrite("ann", 1n, { tokenHash: hashOf("second") }));
        assert.equal(await store.userByTokenHash(first.tokenHash), undefined);
        assert.equal((await store.userByTokenHash(hashOf("second")))?.name, n("ann"));
        await store.writeUser(userWrite("ann", 2n, { tokenHash: "" }));
        assert.equal(await store.userByTokenHash(hashOf("second")), undefined);
      });

      it("many users may be without a token", async () => {
        for (const name of ["ann", "bob"]) assert.deepEqual(await store.writeUser(userWrite(name, 0n, { tokenHash: "" })), { kind: "written" });
        assert.equal(await store.userByTokenHash(""), undefined);
      });

      it("users and user_groups are listed by name, page by page, each once", async () => {
        const names = Array.from({ length: 25 }, (_, i) => `name-${String(i).padStart(2, "0")}`);
        for (const name of [...names].reverse()) {
          await store.writeUser(userWrite(name, 0n));
          await store.writeUserGroup(groupWrite(name, 0n));
        }
        assert.deepEqual(ownNames(await readAll((page) => store.listUsers(page), 10)), names.map(n));
        assert.deepEqual(ownNames(await readAll((page) => store.listUserGroups(page), 10)), names.map(n));
      });

      it("another hash of the same password is put in place, unless the password was changed meanwhile: no change of the user", async () => {
        await store.writeUser(userWrite("ann", 0n, { passwordHash: "$2b$old" }));
        const [before, stamp] = [await store.getUser(n("ann")), await store.stamp()];
        assert.equal(await store.rehashPassword(n("ann"), "$2b$other", "$argon2id$new"), false);
        assert.equal(await store.rehashPassword(n("bob"), "$2b$old", "$argon2id$new"), false);
        assert.equal(await store.rehashPassword(n("ann"), "$2b$old", "$argon2id$new"), true);
        assert.equal(await store.rehashPassword(n("ann"), "$2b$old", "$argon2id$newer"), false);
        assert.deepEqual(await store.getUser(n("ann")), { ...before, passwordHash: "$argon2id$new" });
        assert.equal(await store.stamp(), stamp);
      });
    });

    describe("user_groups", () => {
      it("a user_group is read back as written, with its members", async () => {
        const { expected, ...staff } = groupWrite("staff", 0n, { members: ["ann", "bob"] });
        assert.deepEqual(await store.writeUserGroup({ ...staff, expected }), { kind: "written" });
        const read = await store.getUserGroup(n("staff"));
        assert.deepEqual({ ...read, body: [...(read?.body ?? [])] }, { ...staff, body: [...staff.body] });
      });

      it("the groups that name a user are found, as they are now", async () => {
        const groups = async (user: string) => {
          const names = (await store.groupsOf(n(user))).map(({ name }) => name);
          assert.deepEqual(await store.groupNamesOf(n(user)), names);
          return names;
        };
        await store.writeUserGroup(groupWrite("b", 0n, { members: ["ann", "bob"] }));
        await store.writeUserGroup(groupWrite("a", 0n, { members: ["ann"] }));
        assert.deepEqual([await groups("ann"), await groups("bob"), await groups("eve")], [[n("a"), n("b")], [n("b")], []]);
        assert.deepEqual(await store.writeUserGroup(groupWrite("b", 0n, { members: ["eve"] })), { kind: "conflict", revision: 1n });
        assert.deepEqual(await groups("eve"), []);
        await store.writeUserGroup(groupWrite("b", 1n, { members: ["bob"] }));
        assert.deepEqual([await groups("ann"), await groups("bob")], [[n("a")], [n("b")]]);
        await store.writeUserGroup(groupWrite("a", 1n, { deleted: true, members: [] }));
        assert.deepEqual(await groups("ann"), []);
        assert.deepEqual([(await store.getUserGroup(n("a")))?.deleted, (await store.getUserGroup(n("a")))?.members], [true, []]);
        assert.deepEqual(ownNames(await readAll((page) => store.listUserGroups(page), 1000)), [n("b")]);
      });
    });

    describe("enrolment tokens", () => {
      it("an enrolment token is read back as made, by its hash and by id", async () => {
        await store.createEnrolment(enrolment("e1"));
        assert.deepEqual(await store.enrolmentByTokenHash(enrolment("e1").tokenHash), enrolment("e1"));
        assert.deepEqual(await store.enrolment(enrolment("e1").id), enrolment("e1"));
        assert.equal(await store.enrolment(enrolment("e2").id), undefined);
        for (const hash of ["", hashOf("other")]) assert.equal(await store.enrolmentByTokenHash(hash), undefined);
        const otherHash = { ...enrolment("e1"), tokenHash: hashOf("new") };
        await assert.rejects(store.createEnrolment(otherHash), (error) => isNebulaError(error, "already_exists"));
        assert.equal(await store.enrolmentByTokenHash(hashOf("new")), undefined);
      });

      it("enrolment tokens that are valid are listed, newest first, page by page", async () => {
        const made = Array.from({ length: 12 }, (_, i) =>
          enrolment(`e${String(i).padStart(2, "0")}`, { createdAt: NOW_MS + i, deviceGroup: i % 3 === 0 ? "shops" : "offices" }),
        );
        for (const one of made) await store.createEnrolment(one);
        await store.createEnrolment(enrolment("expired", { expiresAt: NOW_MS }));
        await store.createEnrolment(enrolment("used-up", { usesLeft: 1 }));
        await store.enrol(device("d", { enrolmentHash: enrolment("used-up").tokenHash }));
        const listed = async (limit: number, deviceGroup?: string) => {
          const filter = { nowMs: NOW_MS, ...(deviceGroup === undefined ? {} : { deviceGroup: n(deviceGroup) }) };
          const all = await readAll((page) => store.listEnrolments(filter, page), limit);
          return all.filter((one) => n.isOwn(one.deviceGroup));
        };
        const newestFirst = made.toReversed();
        assert.deepEqual(await listed(5), newestFirst);
        assert.deepEqual(
          await listed(3, "shops"),
          newestFirst.filter(({ deviceGroup }) => deviceGroup === n("shops")),
        );
      });

      it("a device is admitted once, and gets the same answer again, also when the enrolment token has ended since (A4)", async () => {
        const token = enrolment("e1", { usesLeft: 2 });
        await store.createEnrolment(token);
        const call = device("d1", { enrolmentHash: token.tokenHash });
        assert.deepEqual(await store.enrol(call), { kind: "enrolled", deviceGroup: n("shops"), again: false });
        assert.deepEqual(await store.enrol(call), { kind: "enrolled", deviceGroup: n("shops"), again: true });
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, 1);
        assert.equal(await store.revokeEnrolment(enrolment("e1").id), "done");
        assert.deepEqual(await store.enrol({ ...call, nowMs: token.expiresAt + 1 }), { kind: "enrolled", deviceGroup: n("shops"), again: true });
        assert.deepEqual(await store.deviceToken(n("d1")), {
          deviceId: n("d1"),
          deviceGroup: n("shops"),
          tokenHash: call.tokenHash,
          nextHash: "",
          enrolmentId: token.id,
          enrolledAt: NOW_MS,
          rotatedAt: 0,
        });
      });

      it("a device that has another token, and a hash that is another device's, are refused, and use nothing up", async () => {
        const token = enrolment("e1", { usesLeft: 5 });
        await store.createEnrolment(token);
        await store.enrol(device("d1", { enrolmentHash: token.tokenHash }));
        assert.deepEqual(await store.enrol(device("d1", { enrolmentHash: token.tokenHash, tokenHash: hashOf("other") })), { kind: "other_token" });
        assert.deepEqual(await store.enrol(device("d2", { enrolmentHash: token.tokenHash, tokenHash: device("d1").tokenHash })), {
          kind: "hash_taken",
        });
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, 4);
        assert.equal(await store.deviceToken(n("d2")), undefined);
      });

      it("an invalid enrolment token is refused with the reason, and a caller without one learns nothing of the device", async () => {
        const once = enrolment("e1", { usesLeft: 1 });
        await store.createEnrolment(once);
        const enrol = (deviceId: string, nowMs = NOW_MS) => store.enrol(device(deviceId, { enrolmentHash: once.tokenHash, nowMs }));
        assert.deepEqual(await enrol("d1", once.expiresAt), { kind: "not_valid", why: "expired" });
        assert.equal((await enrol("d1", once.expiresAt - 1)).kind, "enrolled");
        assert.deepEqual(await enrol("d2"), { kind: "not_valid", why: "used_up" });
        for (const deviceId of ["d1", "d2"]) {
          const unknown = device(deviceId, { enrolmentHash: hashOf("guessed"), tokenHash: hashOf("mine") });
          assert.deepEqual(await store.enrol(unknown), { kind: "not_valid", why: "unknown" });
        }
        await store.revokeEnrolment(enrolment("e1").id);
        assert.deepEqual(await enrol("d2"), { kind: "not_valid", why: "unknown" });
        assert.equal(await store.revokeEnrolment(enrolment("e1").id), "absent");
      });
    });

    describe("tokens of devices", () => {
      let [first, next] = ["", ""];
      beforeEach(() => {
        [first, next] = [device("d1").tokenHash, hashOf("next")];
      });
      const enrolled = async (...deviceIds: string[]) => {
        await store.createEnrolment(enrolment("e1", { usesLeft: 1000 }));
        for (const deviceId of deviceIds) await store.enrol(device(deviceId));
      };

      it("a device's token is exchanged for the next at the first use of that", async () => {
        await enrolled("d1");
        assert.equal(await store.announceNext(first, next), "done");
        assert.equal(await store.announceNext(first, next), "done", "a repeat is answered the same");
        for (const hash of [first, next]) assert.equal((await store.deviceByTokenHash(hash))?.deviceId, n("d1"));
        assert.deepEqual(await store.enrol(device("d1", { tokenHash: next })), { kind: "enrolled", deviceGroup: n("shops"), again: true });
        assert.equal(await store.promoteNext(first, NOW_MS), "absent", "the token in use is not a next one");
        assert.equal(await store.promoteNext(next, NOW_MS + 5), "done");
        assert.equal(await store.promoteNext(next, NOW_MS + 6), "absent");
        assert.equal(await store.deviceByTokenHash(first), undefined);
        const now = await store.deviceByTokenHash(next);
        assert.deepEqual([now?.tokenHash, now?.nextHash, now?.rotatedAt, now?.enrolledAt], [next, "", NOW_MS + 5, NOW_MS]);
      });

      it("a next token that was not used is forgotten when another is announced", async () => {
        await enrolled("d1");
        await store.announceNext(first, hashOf("unused"));
        assert.equal(await store.announceNext(first, next), "done");
        assert.equal(await store.deviceByTokenHash(hashOf("unused")), undefined);
        assert.equal(await store.promoteNext(hashOf("unused"), NOW_MS), "absent");
        assert.equal((await store.deviceByTokenHash(next))?.nextHash, next);
      });

      it("a next token is announced for the token in use alone", async () => {
        await enrolled("d1");
        assert.equal(await store.announceNext(hashOf("nobody's"), next), "absent");
        await store.announceNext(first, next);
        assert.equal(await store.announceNext(next, hashOf("third")), "absent");
        assert.equal(await store.deviceByTokenHash(hashOf("third")), undefined);
      });

      it("a device's token ends with a revocation, and the device can enrol again", async () => {
        await enrolled("d1");
        await store.announceNext(first, next);
        assert.equal(await store.revokeDeviceToken(n("d1")), "done");
        assert.equal(await store.revokeDeviceToken(n("d1")), "absent");
        for (const hash of ["", first, next]) assert.equal(await store.deviceByTokenHash(hash), undefined);
        assert.equal(await store.promoteNext(next, NOW_MS), "absent");
        assert.deepEqual(await store.enrol(device("d1", { tokenHash: hashOf("new") })), { kind: "enrolled", deviceGroup: n("shops"), again: false });
      });

      it("devices' tokens are listed group by group, in each by device_id, of one group or of all, page by page", async () => {
        await store.createEnrolment(enrolment("e2", { deviceGroup: "offices", usesLeft: 1000 }));
        await enrolled("d3", "d1", "d5");
        for (const deviceId of ["d4", "d2"]) await store.enrol(device(deviceId, { enrolmentHash: enrolment("e2").tokenHash }));
        const listed = async (filter: { deviceGroup?: string }) =>
          (await readAll((page) => store.listDeviceTokens(filter, page), 2)).map(({ deviceId }) => deviceId).filter(n.isOwn);
        assert.deepEqual(await listed({}), ["d2", "d4", "d1", "d3", "d5"].map(n));
        assert.deepEqual(await listed({ deviceGroup: n("shops") }), ["d1", "d3", "d5"].map(n));
        assert.deepEqual(await listed({ deviceGroup: n("none") }), []);
        await store.revokeDeviceToken(n("d3"));
        assert.deepEqual(await listed({ deviceGroup: n("shops") }), ["d1", "d5"].map(n));
      });
    });

    describe("owners of tokens", () => {
      it("the owner of any token is found by its hash alone", async () => {
        const [ann, token, d1] = [userWrite("ann", 0n), enrolment("e1"), device("d1")];
        await store.writeUser(ann);
        await store.createEnrolment(token);
        await store.enrol(d1);
        const owner = await store.tokenOwner(ann.tokenHash);
        assert.deepEqual(owner, { kind: "user", user: await store.getUser(ann.name) });
        assert.deepEqual(await store.tokenOwner(token.tokenHash), { kind: "enrolment", id: token.id, deviceGroup: n("shops") });
        const ofDevice = { kind: "device", deviceId: n("d1"), deviceGroup: n("shops"), isNext: false };
        assert.deepEqual(await store.tokenOwner(d1.tokenHash), ofDevice);
        const next = hashOf("next");
        await store.announceNext(d1.tokenHash, next);
        assert.deepEqual(await store.tokenOwner(next), { ...ofDevice, isNext: true });
        await store.promoteNext(next, NOW_MS);
        assert.deepEqual(await store.tokenOwner(next), ofDevice);
        for (const hash of ["", hashOf("nobody's"), d1.tokenHash]) assert.equal(await store.tokenOwner(hash), undefined);
        await store.revokeDeviceToken(n("d1"));
        await store.revokeEnrolment(token.id);
        await store.writeUser(userWrite("ann", 1n, { deleted: true }));
        for (const hash of [ann.tokenHash, token.tokenHash, next]) assert.equal(await store.tokenOwner(hash), undefined);
      });
    });

    it("a page token that the store never gave is refused", async () => {
      for (const name of ["ann", "bob"]) await store.writeUser(userWrite(name, 0n));
      const users = (await store.listUsers({ limit: 1 })).next ?? assert.fail("one page for two users");
      for (const after of ["no token", "\0", "d2Vi", "WyJyZXBvcnRzIl0", users]) {
        const lists = [
          ...(after === users ? [] : [() => store.listUsers({ limit: 1, after })]),
          () => store.listUserGroups({ limit: 1, after }),
          () => store.listEnrolments({ nowMs: NOW_MS }, { limit: 1, after }),
          () => store.listDeviceTokens({}, { limit: 1, after }),
          () => store.listAudit({}, { limit: 1, after }),
        ];
        for (const list of lists) await assert.rejects(list(), (error) => isNebulaError(error, "invalid_argument"));
      }
    });

    describeSessions(() => store);
    describeAccessRecords(() => store);
    describeAccessInvariants(() => store, effort);
    describeAuditLog(() => store, effort);

    it("the store holds the same when opened again", async function () {
      if (reopen === undefined) return this.skip();
      await store.writeUser(userWrite("ann", 0n));
      await store.writeUserGroup(groupWrite("staff", 0n, { members: ["ann"] }));
      await store.createEnrolment(enrolment("e1", { usesLeft: 2 }));
      await store.enrol(device("d1"));
      await store.createSession(session("s1"), 20);
      const stamp = await store.stamp();
      store = await reopen();
      assert.equal(await store.stamp(), stamp);
      assert.equal((await store.userByTokenHash(userWrite("ann", 0n).tokenHash))?.name, n("ann"));
      assert.equal((await store.groupsOf(n("ann")))[0]?.name, n("staff"));
      assert.equal((await store.enrolmentByTokenHash(enrolment("e1").tokenHash))?.usesLeft, 1);
      assert.equal((await store.deviceByTokenHash(device("d1").tokenHash))?.deviceId, n("d1"));
      assert.deepEqual(await store.session(session("s1").id), session("s1"));
    });
  });
}
