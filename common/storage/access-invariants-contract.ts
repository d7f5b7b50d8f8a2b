import { strict as assert } from "node:assert";
import fc from "fast-check";
import { assertNever } from "../errors/assert-never.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import type { AccessStore } from "./access-store.ts";
import { device, enrolment, groupWrite, hashOf, NOW_MS, userWrite } from "./access-store-samples.ts";

const USERS = ["ann", "bob"];
const GROUPS = ["staff", "guests"];
const DEVICES = ["d1", "d2"];
const ENROLMENTS = ["e1", "e2"];
/** Few, so that owners come into each other's way. */
const HASHES = ["h1", "h2", "h3", "h4", "h5"].map(hashOf);

type Act = Readonly<
  | { kind: "write_user"; name: string; tokenHash: string; deleted: boolean }
  | { kind: "rehash"; name: string }
  | { kind: "write_group"; name: string; members: readonly string[] }
  | { kind: "create_enrolment"; id: string; tokenHash: string; usesLeft: number }
  | { kind: "revoke_enrolment"; id: string }
  | { kind: "enrol"; deviceId: string; tokenHash: string; enrolmentHash: string }
  | { kind: "announce"; current: string; next: string }
  | { kind: "promote"; next: string }
  | { kind: "revoke_device"; deviceId: string }
>;

const user = fc.constantFrom(...USERS);
const group = fc.constantFrom(...GROUPS);
const deviceId = fc.constantFrom(...DEVICES);
const id = fc.constantFrom(...ENROLMENTS);
const tokenHash = fc.constantFrom(...HASHES);

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ kind: fc.constant("write_user" as const), name: user, tokenHash: fc.oneof(tokenHash, fc.constant("")), deleted: fc.boolean() }),
  fc.record({ kind: fc.constant("rehash" as const), name: user }),
  fc.record({ kind: fc.constant("write_group" as const), name: group, members: fc.uniqueArray(user) }),
  fc.record({ kind: fc.constant("create_enrolment" as const), id, tokenHash, usesLeft: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant("revoke_enrolment" as const), id }),
  fc.record({ kind: fc.constant("enrol" as const), deviceId, tokenHash, enrolmentHash: tokenHash }),
  fc.record({ kind: fc.constant("announce" as const), current: tokenHash, next: tokenHash }),
  fc.record({ kind: fc.constant("promote" as const), next: tokenHash }),
  fc.record({ kind: fc.constant("revoke_device" as const), deviceId }),
);

/** Does it; true where something was ended or a user's rights were changed, for which the stamp has to be renewed (A1). */
async function perform(store: AccessStore, step: Act): Promise<boolean> {
  switch (step.kind) {
    case "write_user": {
      const stored = await store.getUser(step.name);
      const write = userWrite(step.name, stored?.revision ?? 0n, { tokenHash: step.tokenHash, deleted: step.deleted });
      return (await store.writeUser(write)).kind === "written";
    }
    case "rehash":
      await store.rehashPassword(step.name, `$argon2id$of-${step.name}`, `$argon2id$of-${step.name}`);
      return false;
    case "write_group": {
      const stored = await store.getUserGroup(step.name);
      return (await store.writeUserGroup(groupWrite(step.name, stored?.revision ?? 0n, { members: step.members }))).kind === "written";
    }
    case "create_enrolment":
      await store.createEnrolment(enrolment(step.id, { tokenHash: step.tokenHash, usesLeft: step.usesLeft }));
      return false;
    case "revoke_enrolment":
      return store.revokeEnrolment(step.id);
    case "enrol":
      await store.enrol(device(step.deviceId, { tokenHash: step.tokenHash, enrolmentHash: step.enrolmentHash }));
      return false;
    case "announce": {
      const before = await store.deviceByTokenHash(step.current);
      const announced = await store.announceNext(step.current, step.next);
      return announced && before !== undefined && before.nextHash !== "" && before.nextHash !== step.next;
    }
    case "promote":
      return store.promoteNext(step.next, NOW_MS);
    case "revoke_device":
      return store.revokeDeviceToken(step.deviceId);
    default:
      return assertNever(step);
  }
}

/** What each token lets in, and with which rights: `who` by hash. An enrolment token that is used up has ended by itself. */
async function credentials(store: AccessStore): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const hash of HASHES) {
    const owners: string[] = [];
    const owner = await store.userByTokenHash(hash);
    if (owner !== undefined) {
      const groups = (await store.groupsOf(owner.name)).map(({ name, revision }) => `${name}@${revision}`);
      owners.push(`user ${owner.name} of ${groups.join()}`);
    }
    const token = await store.deviceByTokenHash(hash);
    if (token !== undefined) owners.push(`device ${token.deviceId} of ${token.deviceGroup}`);
    const enrolled = await store.enrolmentByTokenHash(hash);
    if (enrolled !== undefined) owners.push(`enrolment ${enrolled.id}`);
    assert.ok(owners.length <= 1, `one token, ${owners.join(" and ")}`); // A3
    if (owners[0] !== undefined) found.set(hash, owners[0]);
  }
  return found;
}

/** A1, A3 and A4 under calls of any kind in any order. */
export function describeAccessInvariants(storeOf: () => AccessStore): void {
  it("keeps one owner for every token, and a stamp that tells every end of a credential or change of rights (A1, A3)", async () => {
    const store = storeOf();
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 30 }), async (steps) => {
        for (const step of steps) {
          const [before, stamp] = [await credentials(store), await store.stamp()];
          let renews = false;
          try {
            renews = await perform(store, step);
          } catch (error) {
            assert.ok(isNebulaError(error, "already_exists"), String(error)); // A3: the hash is another's
          }
          const [after, renewed] = [await credentials(store), (await store.stamp()) !== stamp];
          assert.equal(renewed, renews, `${step.kind}: the stamp was ${renewed ? "" : "not "}renewed`);
          if (!renewed) for (const [hash, who] of before) assert.equal(after.get(hash), who, `${step.kind}: valid no more under the same stamp`);
        }
      }),
      { numRuns: 40 },
    );
  }).timeout(60_000);

  it("renews the stamp at a change of a user or user_group, and at what ends a token; at nothing else (A1)", async () => {
    const store = storeOf();
    const renewed = async (call: () => Promise<unknown>) => {
      const before = await store.stamp();
      await call();
      return (await store.stamp()) !== before;
    };
    const [d1, next, other] = [device("d1"), hashOf("next"), hashOf("other")];
    assert.equal(await renewed(() => store.writeUser(userWrite("ann", 0n))), true);
    assert.equal(await renewed(() => store.writeUser(userWrite("ann", 0n))), false, "a write that was refused");
    assert.equal(await renewed(() => store.writeUserGroup(groupWrite("staff", 0n))), true);
    assert.equal(await renewed(() => store.rehashPassword("ann", userWrite("ann", 0n).passwordHash, "$argon2id$new")), false);
    assert.equal(await renewed(() => store.createEnrolment(enrolment("e1", { usesLeft: 5 }))), false);
    assert.equal(await renewed(() => store.enrol(d1)), false);
    assert.equal(await renewed(() => store.announceNext(d1.tokenHash, next)), false);
    assert.equal(await renewed(() => store.announceNext(d1.tokenHash, next)), false);
    assert.equal(await renewed(() => store.announceNext(d1.tokenHash, other)), true, "the one announced before has ended");
    assert.equal(await renewed(() => store.promoteNext(other, NOW_MS)), true);
    assert.equal(await renewed(() => store.promoteNext(other, NOW_MS)), false);
    assert.equal(await renewed(() => store.revokeDeviceToken("d1")), true);
    assert.equal(await renewed(() => store.revokeDeviceToken("d1")), false);
    assert.equal(await renewed(() => store.revokeEnrolment("e1")), true);
    assert.equal(await renewed(() => store.revokeEnrolment("e1")), false);
  });

  it("never has a stamp twice (A1)", async () => {
    const store = storeOf();
    const stamps = new Set([await store.stamp()]);
    for (let revision = 0n; revision < 20n; revision++) {
      await store.writeUser(userWrite("ann", revision));
      stamps.add(await store.stamp());
    }
    assert.equal(stamps.size, 21);
  });

  it("gives a hash to one of many that want it at once (A3)", async () => {
    const store = storeOf();
    const wanted = hashOf("wanted");
    await store.createEnrolment(enrolment("e1", { usesLeft: 100 }));
    const tries = Array.from({ length: 10 }, (_, i) => [
      store.writeUser(userWrite(`user-${i}`, 0n, { tokenHash: wanted })).then(() => true),
      store.createEnrolment(enrolment(`w${i}`, { tokenHash: wanted })).then(() => true),
      store.enrol(device(`d${i}`, { tokenHash: wanted })).then(({ kind }) => kind === "enrolled"),
    ]).flat();
    const settled = await Promise.allSettled(tries);
    assert.equal(settled.filter((one) => one.status === "fulfilled" && one.value).length, 1);
    for (const one of settled) if (one.status === "rejected") assert.ok(isNebulaError(one.reason, "already_exists"), String(one.reason));
  });

  it("lets at most its number of devices in with an enrolment token, whatever calls come at once (A4)", async () => {
    const store = storeOf();
    let made = 0;
    const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), numbers, async (uses, calls) => {
        const run = made++;
        const token = enrolment(`uses-${run}`, { usesLeft: uses });
        await store.createEnrolment(token);
        const call = (number: number) =>
          store.enrol(device(`run-${run}-d${number}`, { tokenHash: hashOf(`run ${run} device ${number}`), enrolmentHash: token.tokenHash }));
        const outcomes = await Promise.all(calls.map(call));
        const wanted = new Set(calls);
        const inside = new Set(calls.filter((_, i) => outcomes[i]?.kind === "enrolled"));
        const taken = outcomes.filter((outcome) => outcome.kind === "enrolled" && !outcome.again).length;
        assert.equal(inside.size, Math.min(uses, wanted.size), "as many as there are uses, no more and no fewer");
        assert.equal(taken, inside.size, "each was taken in once");
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, uses - inside.size, "a repeat uses nothing up");
        for (const number of wanted) assert.equal((await store.deviceToken(`run-${run}-d${number}`)) !== undefined, inside.has(number));
      }),
      { numRuns: 40 },
    );
  }).timeout(60_000);
}
