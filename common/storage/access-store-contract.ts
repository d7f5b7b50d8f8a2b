import { strict as assert } from "node:assert";
import { isNebulaError } from "../errors/nebula-error.ts";
import { readAll } from "../testing/read-all.ts";
import { describeAccessInvariants } from "./access-invariants-contract.ts";
import type { AccessStore } from "./access-store.ts";
import { device, enrolment, groupWrite, hashOf, NOW_MS, userWrite } from "./access-store-samples.ts";
import { describeAuditLog } from "./audit-log-contract.ts";

export type OpenAccessStore = () => Promise<{ store: AccessStore; reopen?: () => Promise<AccessStore> }>;

/** What every AccessStore promises. `open` yields a fresh, empty store; `reopen` closes one and opens what it left (absent where a store keeps nothing). */
export function describeAccessStore(driver: string, open: OpenAccessStore): void {
  describe(`AccessStore: ${driver}`, () => {
    let store: AccessStore;
    let reopen: (() => Promise<AccessStore>) | undefined;
    beforeEach(async () => {
      ({ store, reopen } = await open());
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
    });

    describe("users", () => {
      it("knows nobody at first", async () => {
        assert.equal(await store.getUser("ann"), undefined);
        for (const hash of ["", hashOf("t")]) assert.equal(await store.userByTokenHash(hash), undefined);
        assert.deepEqual(await store.listUsers({ limit: 10 }), { items: [], next: undefined });
        assert.deepEqual(await store.groupsOf("ann"), []);
      });

      it("reads back what was written, by name and by the token's hash", async () => {
        const { expected, ...ann } = userWrite("ann", 0n);
        assert.deepEqual(await store.writeUser({ ...ann, expected }), { kind: "written" });
        assert.deepEqual(await store.getUser("ann"), ann);
        assert.deepEqual(await store.userByTokenHash(ann.tokenHash), ann);
      });

      it("finds users, and user_groups, whose names differ in case alone, and are not deleted", async () => {
        for (const name of ["ann", "Ann", "ANN", "annA"]) {
          await store.writeUser(userWrite(name, 0n, { tokenHash: "" }));
          await store.writeUserGroup(groupWrite(name, 0n));
        }
        await store.writeUser(userWrite("ANN", 1n, { deleted: true }));
        assert.deepEqual(await store.usersInOtherCase("ann"), ["Ann"]);
        assert.deepEqual(await store.userGroupsInOtherCase("ann"), ["ANN", "Ann"]);
        assert.deepEqual(await store.usersInOtherCase("bob"), []);
      });

      it("refuses a write that expects another revision, and leaves everything as it was", async () => {
        const ann = userWrite("ann", 0n);
        await store.writeUser(ann);
        for (const expected of [0n, 2n]) {
          assert.deepEqual(await store.writeUser(userWrite("ann", expected, { tokenHash: hashOf("loser") })), { kind: "conflict", revision: 1n });
        }
        assert.equal(await store.userByTokenHash(hashOf("loser")), undefined);
        assert.equal((await store.userByTokenHash(ann.tokenHash))?.revision, 1n);
        assert.deepEqual(await store.writeUser(userWrite("bob", 1n)), { kind: "conflict", revision: 0n });
      });

      it("refuses a revision that does not rise (A2)", async () => {
        await store.writeUser(userWrite("ann", 0n));
        await store.writeUserGroup(groupWrite("staff", 0n));
        await assert.rejects(store.writeUser(userWrite("ann", 1n, { revision: 1n })), (error) => isNebulaError(error));
        await assert.rejects(store.writeUserGroup(groupWrite("staff", 1n, { revision: 1n })), (error) => isNebulaError(error));
      });

      it("gives every revision to exactly one of 20 writers that race (A2)", async () => {
        const winners = new Map<bigint, string>();
        const race = async (writer: string) => {
          for (let done = false; !done; ) {
            const revision = (await store.getUser("ann"))?.revision ?? 0n;
            const outcome = await store.writeUser(userWrite("ann", revision, { changedBy: writer }));
            if (outcome.kind !== "written") continue;
            assert.equal(winners.has(revision + 1n), false, "a revision was given twice");
            winners.set(revision + 1n, writer);
            done = true;
          }
        };
        await Promise.all(Array.from({ length: 20 }, (_, i) => race(`writer-${i}`)));
        const ann = await store.getUser("ann");
        assert.deepEqual([ann?.revision, ann?.changedBy], [20n, winners.get(20n)]);
      });

      it("keeps a deleted user as a tombstone without credentials, that lists skip and a create goes on from (A2)", async () => {
        const ann = userWrite("ann", 0n);
        await store.writeUser(ann);
        await store.writeUser(userWrite("ann", 1n, { deleted: true, tokenHash: ann.tokenHash }));
        const tombstone = await store.getUser("ann");
        assert.deepEqual([tombstone?.deleted, tombstone?.revision, tombstone?.passwordHash, tombstone?.tokenHash], [true, 2n, "", ""]);
        assert.equal(await store.userByTokenHash(ann.tokenHash), undefined);
        assert.deepEqual((await store.listUsers({ limit: 10 })).items, []);
        assert.deepEqual(await store.writeUser(userWrite("ann", 0n)), { kind: "conflict", revision: 2n });
        assert.deepEqual(await store.writeUser(userWrite("bob", 0n, { tokenHash: ann.tokenHash })), { kind: "written" }, "the hash is free");
        assert.deepEqual(await store.writeUser(userWrite("ann", 2n, { tokenHash: "" })), { kind: "written" });
        assert.equal((await store.getUser("ann"))?.deleted, false);
      });

      it("ends a user's token with the write that puts another in its place, or none", async () => {
        const first = userWrite("ann", 0n);
        await store.writeUser(first);
        await store.writeUser(userWrite("ann", 1n, { tokenHash: hashOf("second") }));
        assert.equal(await store.userByTokenHash(first.tokenHash), undefined);
        assert.equal((await store.userByTokenHash(hashOf("second")))?.name, "ann");
        await store.writeUser(userWrite("ann", 2n, { tokenHash: "" }));
        assert.equal(await store.userByTokenHash(hashOf("second")), undefined);
      });

      it("lets many users be without a token", async () => {
        for (const name of ["ann", "bob"]) assert.deepEqual(await store.writeUser(userWrite(name, 0n, { tokenHash: "" })), { kind: "written" });
        assert.equal(await store.userByTokenHash(""), undefined);
      });

      it("lists users and user_groups by name, page by page, each once", async () => {
        const names = Array.from({ length: 25 }, (_, i) => `name-${String(i).padStart(2, "0")}`);
        for (const name of [...names].reverse()) {
          await store.writeUser(userWrite(name, 0n));
          await store.writeUserGroup(groupWrite(name, 0n));
        }
        const namesOf = (items: readonly { name: string }[]) => items.map(({ name }) => name);
        assert.deepEqual(namesOf(await readAll((page) => store.listUsers(page), 10)), names);
        assert.deepEqual(namesOf(await readAll((page) => store.listUserGroups(page), 10)), names);
      });

      it("puts another hash of the same password in place, unless the password was changed meanwhile: no change of the user", async () => {
        await store.writeUser(userWrite("ann", 0n, { passwordHash: "$2b$old" }));
        const [before, stamp] = [await store.getUser("ann"), await store.stamp()];
        assert.equal(await store.rehashPassword("ann", "$2b$other", "$argon2id$new"), false);
        assert.equal(await store.rehashPassword("bob", "$2b$old", "$argon2id$new"), false);
        assert.equal(await store.rehashPassword("ann", "$2b$old", "$argon2id$new"), true);
        assert.equal(await store.rehashPassword("ann", "$2b$old", "$argon2id$newer"), false);
        assert.deepEqual(await store.getUser("ann"), { ...before, passwordHash: "$argon2id$new" });
        assert.equal(await store.stamp(), stamp);
      });
    });

    describe("user_groups", () => {
      it("reads back what was written, and who is in it", async () => {
        const { expected, ...staff } = groupWrite("staff", 0n, { members: ["ann", "bob"] });
        assert.deepEqual(await store.writeUserGroup({ ...staff, expected }), { kind: "written" });
        const read = await store.getUserGroup("staff");
        assert.deepEqual({ ...read, body: [...(read?.body ?? [])] }, { ...staff, body: [...staff.body] });
      });

      it("finds the groups that name a user, as they are now", async () => {
        const groups = async (user: string) => (await store.groupsOf(user)).map(({ name }) => name);
        await store.writeUserGroup(groupWrite("b", 0n, { members: ["ann", "bob"] }));
        await store.writeUserGroup(groupWrite("a", 0n, { members: ["ann"] }));
        assert.deepEqual([await groups("ann"), await groups("bob"), await groups("eve")], [["a", "b"], ["b"], []]);
        assert.deepEqual(await store.writeUserGroup(groupWrite("b", 0n, { members: ["eve"] })), { kind: "conflict", revision: 1n });
        assert.deepEqual(await groups("eve"), []);
        await store.writeUserGroup(groupWrite("b", 1n, { members: ["bob"] }));
        assert.deepEqual([await groups("ann"), await groups("bob")], [["a"], ["b"]]);
        await store.writeUserGroup(groupWrite("a", 1n, { deleted: true, members: [] }));
        assert.deepEqual(await groups("ann"), []);
        assert.deepEqual([(await store.getUserGroup("a"))?.deleted, (await store.getUserGroup("a"))?.members], [true, []]);
        assert.deepEqual(
          (await store.listUserGroups({ limit: 10 })).items.map(({ name }) => name),
          ["b"],
        );
      });
    });

    describe("enrolment tokens", () => {
      it("reads back what was made, by the token's hash and by id", async () => {
        await store.createEnrolment(enrolment("e1"));
        assert.deepEqual(await store.enrolmentByTokenHash(enrolment("e1").tokenHash), enrolment("e1"));
        assert.deepEqual(await store.enrolment("e1"), enrolment("e1"));
        assert.equal(await store.enrolment("e2"), undefined);
        for (const hash of ["", hashOf("other")]) assert.equal(await store.enrolmentByTokenHash(hash), undefined);
        await assert.rejects(store.createEnrolment({ ...enrolment("e1"), tokenHash: hashOf("new") }), (error) =>
          isNebulaError(error, "already_exists"),
        );
        assert.equal(await store.enrolmentByTokenHash(hashOf("new")), undefined);
      });

      it("lists those that are valid, newest first, page by page", async () => {
        const made = Array.from({ length: 12 }, (_, i) =>
          enrolment(`e${String(i).padStart(2, "0")}`, { createdAt: NOW_MS + Math.floor(i / 2), deviceGroup: i % 3 === 0 ? "shops" : "offices" }),
        );
        for (const one of made) await store.createEnrolment(one);
        await store.createEnrolment(enrolment("expired", { expiresAt: NOW_MS }));
        await store.createEnrolment(enrolment("used-up", { usesLeft: 1 }));
        await store.enrol(device("d", { enrolmentHash: enrolment("used-up").tokenHash }));
        const newestFirst = made.toReversed();
        assert.deepEqual(await readAll((page) => store.listEnrolments({ nowMs: NOW_MS }, page), 5), newestFirst);
        assert.deepEqual(
          await readAll((page) => store.listEnrolments({ nowMs: NOW_MS, deviceGroup: "shops" }, page), 3),
          newestFirst.filter(({ deviceGroup }) => deviceGroup === "shops"),
        );
      });

      it("takes a device in, once, and answers it the same again, also when the enrolment token has ended since (A4)", async () => {
        const token = enrolment("e1", { usesLeft: 2 });
        await store.createEnrolment(token);
        const call = device("d1", { enrolmentHash: token.tokenHash });
        assert.deepEqual(await store.enrol(call), { kind: "enrolled", deviceGroup: "shops", again: false });
        assert.deepEqual(await store.enrol(call), { kind: "enrolled", deviceGroup: "shops", again: true });
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, 1);
        assert.equal(await store.revokeEnrolment("e1"), true);
        assert.deepEqual(await store.enrol({ ...call, nowMs: token.expiresAt + 1 }), { kind: "enrolled", deviceGroup: "shops", again: true });
        assert.deepEqual(await store.deviceToken("d1"), {
          deviceId: "d1",
          deviceGroup: "shops",
          tokenHash: call.tokenHash,
          nextHash: "",
          enrolmentId: "e1",
          enrolledAt: NOW_MS,
          rotatedAt: 0,
        });
      });

      it("refuses a device that has another token, and a hash that is another device's, and uses nothing up", async () => {
        const token = enrolment("e1", { usesLeft: 5 });
        await store.createEnrolment(token);
        await store.enrol(device("d1", { enrolmentHash: token.tokenHash }));
        assert.deepEqual(await store.enrol(device("d1", { enrolmentHash: token.tokenHash, tokenHash: hashOf("other") })), { kind: "other_token" });
        assert.deepEqual(await store.enrol(device("d2", { enrolmentHash: token.tokenHash, tokenHash: device("d1").tokenHash })), {
          kind: "hash_taken",
        });
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, 4);
        assert.equal(await store.deviceToken("d2"), undefined);
      });

      it("says why an enrolment token does not do, and nothing of the device to who has none", async () => {
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
        await store.revokeEnrolment("e1");
        assert.deepEqual(await enrol("d2"), { kind: "not_valid", why: "unknown" });
        assert.equal(await store.revokeEnrolment("e1"), false);
      });
    });

    describe("tokens of devices", () => {
      const [first, next] = [hashOf("token of d1"), hashOf("next")];
      const enrolled = async (...deviceIds: string[]) => {
        await store.createEnrolment(enrolment("e1", { usesLeft: 1000 }));
        for (const deviceId of deviceIds) await store.enrol(device(deviceId));
      };

      it("exchanges one for the next at the first use of that", async () => {
        await enrolled("d1");
        assert.equal(await store.announceNext(first, next), true);
        assert.equal(await store.announceNext(first, next), true, "a repeat is answered the same");
        for (const hash of [first, next]) assert.equal((await store.deviceByTokenHash(hash))?.deviceId, "d1");
        assert.deepEqual(await store.enrol(device("d1", { tokenHash: next })), { kind: "enrolled", deviceGroup: "shops", again: true });
        assert.equal(await store.promoteNext(first, NOW_MS), false, "what is in use is no next one");
        assert.equal(await store.promoteNext(next, NOW_MS + 5), true);
        assert.equal(await store.promoteNext(next, NOW_MS + 6), false);
        assert.equal(await store.deviceByTokenHash(first), undefined);
        const now = await store.deviceByTokenHash(next);
        assert.deepEqual([now?.tokenHash, now?.nextHash, now?.rotatedAt, now?.enrolledAt], [next, "", NOW_MS + 5, NOW_MS]);
      });

      it("forgets a next one that was not used when another is announced", async () => {
        await enrolled("d1");
        await store.announceNext(first, hashOf("unused"));
        assert.equal(await store.announceNext(first, next), true);
        assert.equal(await store.deviceByTokenHash(hashOf("unused")), undefined);
        assert.equal(await store.promoteNext(hashOf("unused"), NOW_MS), false);
        assert.equal((await store.deviceByTokenHash(next))?.nextHash, next);
      });

      it("announces for the token in use alone", async () => {
        await enrolled("d1");
        assert.equal(await store.announceNext(hashOf("nobody's"), next), false);
        await store.announceNext(first, next);
        assert.equal(await store.announceNext(next, hashOf("third")), false);
        assert.equal(await store.deviceByTokenHash(hashOf("third")), undefined);
      });

      it("ends with a revocation, and lets the device enrol anew", async () => {
        await enrolled("d1");
        await store.announceNext(first, next);
        assert.equal(await store.revokeDeviceToken("d1"), true);
        assert.equal(await store.revokeDeviceToken("d1"), false);
        for (const hash of ["", first, next]) assert.equal(await store.deviceByTokenHash(hash), undefined);
        assert.equal(await store.promoteNext(next, NOW_MS), false);
        assert.deepEqual(await store.enrol(device("d1", { tokenHash: hashOf("new") })), { kind: "enrolled", deviceGroup: "shops", again: false });
      });

      it("are listed by device_id, of one group or of all, page by page", async () => {
        await store.createEnrolment(enrolment("e2", { deviceGroup: "offices", usesLeft: 1000 }));
        await enrolled("d3", "d1", "d5");
        for (const deviceId of ["d4", "d2"]) await store.enrol(device(deviceId, { enrolmentHash: enrolment("e2").tokenHash }));
        const listed = async (filter: { deviceGroup?: string }) =>
          (await readAll((page) => store.listDeviceTokens(filter, page), 2)).map(({ deviceId }) => deviceId);
        assert.deepEqual(await listed({}), ["d1", "d2", "d3", "d4", "d5"]);
        assert.deepEqual(await listed({ deviceGroup: "shops" }), ["d1", "d3", "d5"]);
        assert.deepEqual(await listed({ deviceGroup: "none" }), []);
      });
    });

    it("refuses a page that it never said goes on", async () => {
      const users = (await listUsersTwice(store)) ?? assert.fail("one page for two users");
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

    describeAccessInvariants(() => store);
    describeAuditLog(() => store);

    it("is the same when opened again", async function () {
      if (reopen === undefined) return this.skip();
      await store.writeUser(userWrite("ann", 0n));
      await store.writeUserGroup(groupWrite("staff", 0n, { members: ["ann"] }));
      await store.createEnrolment(enrolment("e1", { usesLeft: 2 }));
      await store.enrol(device("d1"));
      const stamp = await store.stamp();
      store = await reopen();
      assert.equal(await store.stamp(), stamp);
      assert.equal((await store.userByTokenHash(userWrite("ann", 0n).tokenHash))?.name, "ann");
      assert.equal((await store.groupsOf("ann"))[0]?.name, "staff");
      assert.equal((await store.enrolmentByTokenHash(enrolment("e1").tokenHash))?.usesLeft, 1);
      assert.equal((await store.deviceByTokenHash(device("d1").tokenHash))?.deviceId, "d1");
    });
  });
}

/** A page's `next` of the list of users. */
async function listUsersTwice(store: AccessStore): Promise<string | undefined> {
  for (const name of ["ann", "bob"]) await store.writeUser(userWrite(name, 0n));
  return (await store.listUsers({ limit: 1 })).next;
}
