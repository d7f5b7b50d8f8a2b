import { strict as assert } from "node:assert";
import fc from "fast-check";
import { assertNever } from "../../errors/assert-never.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import type { AccessStore } from "../access-store.ts";
import { freshSamples, NOW_MS } from "./access-store-samples.ts";

/** Words for names; few hashes, so that owners come into each other's way. */
const [USERS, GROUPS, DEVICES, ENROLMENTS, HASHES] = [
  ["ann", "bob"],
  ["staff", "guests"],
  ["d1", "d2"],
  ["e1", "e2"],
  ["h1", "h2", "h3", "h4", "h5"],
];

type Samples = ReturnType<typeof freshSamples>;

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

/**
 * Performs one act. `renews`: something was revoked or the rights of a user changed, so the stamp has to be renewed
 * (A1). `ends`: words of the hashes that may end without that.
 */
async function perform(store: AccessStore, step: Act, samples: Samples): Promise<{ renews: boolean; ends?: string }> {
  const { n, hashOf, userWrite, groupWrite, enrolment, device } = samples;
  switch (step.kind) {
    case "write_user": {
      const stored = await store.getUser(n(step.name));
      const token = step.tokenHash === "" ? "" : hashOf(step.tokenHash);
      const write = userWrite(step.name, stored?.revision ?? 0n, { tokenHash: token, deleted: step.deleted });
      return { renews: (await store.writeUser(write)).kind === "written" };
    }
    case "rehash":
      await store.rehashPassword(n(step.name), `$argon2id$of-${n(step.name)}`, `$argon2id$of-${n(step.name)}`);
      return { renews: false };
    case "write_group": {
      const stored = await store.getUserGroup(n(step.name));
      const write = groupWrite(step.name, stored?.revision ?? 0n, { members: step.members });
      return { renews: (await store.writeUserGroup(write)).kind === "written" };
    }
    case "create_enrolment":
      await store.createEnrolment(enrolment(step.id, { tokenHash: hashOf(step.tokenHash), usesLeft: step.usesLeft }));
      return { renews: false };
    case "revoke_enrolment":
      await store.revokeEnrolment(enrolment(step.id).id);
      return { renews: true };
    case "enrol":
      await store.enrol(device(step.deviceId, { tokenHash: hashOf(step.tokenHash), enrolmentHash: hashOf(step.enrolmentHash) }));
      return { renews: false };
    case "announce": {
      const before = await store.deviceByTokenHash(hashOf(step.current));
      await store.announceNext(hashOf(step.current), hashOf(step.next));
      return { renews: false, ...(before !== undefined && { ends: before.nextHash }) };
    }
    case "promote": {
      const before = await store.deviceByTokenHash(hashOf(step.next));
      await store.promoteNext(hashOf(step.next), NOW_MS);
      return { renews: false, ...(before !== undefined && before.nextHash === hashOf(step.next) && { ends: before.tokenHash }) };
    }
    case "revoke_device":
      await store.revokeDeviceToken(n(step.deviceId));
      return { renews: true };
    default:
      return assertNever(step);
  }
}

/** The owner of each token, and its rights, by hash. An enrolment token that is used up has ended by itself. */
async function credentials(store: AccessStore, { hashOf }: Samples): Promise<ReadonlyMap<string, string>> {
  const hashes = HASHES.map(hashOf);
  const owners = await Promise.all(hashes.map((hash) => ownerNamed(store, hash)));
  return new Map(hashes.flatMap((hash, index) => (owners[index] === undefined ? [] : [[hash, owners[index]]])));
}

async function ownerNamed(store: AccessStore, hash: string): Promise<string | undefined> {
  const owners: string[] = [];
  const user = await store.userByTokenHash(hash);
  if (user !== undefined) {
    const groups = (await store.groupsOf(user.name)).map(({ name, revision }) => `${name}@${revision}`);
    owners.push(`user ${user.name} of ${groups.join()}`);
  }
  const token = await store.deviceByTokenHash(hash);
  if (token !== undefined) owners.push(`device ${token.deviceId} of ${token.deviceGroup}`);
  const enrolled = await store.enrolmentByTokenHash(hash);
  if (enrolled !== undefined) owners.push(`enrolment ${enrolled.id}`);
  assert.ok(owners.length <= 1, `one token, ${owners.join(" and ")}`); // A3
  assert.equal((await store.tokenOwner(hash))?.kind, owners[0]?.split(" ")[0]);
  return owners[0];
}

/** How often a property is tried: fewer times where each call travels. */
export type ContractEffort = Readonly<{ runs: number }>;

/** A1, A3 and A4 under calls of any kind in any order. */
export function describeAccessInvariants(storeOf: () => AccessStore, { runs }: ContractEffort): void {
  it("the store keeps one owner for every token, and renews the stamp at every revocation and change of rights (A1, A3)", async () => {
    const store = storeOf();
    let acts = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 30 }), async (steps) => {
        const samples = freshSamples();
        for (const step of steps) {
          const [before, stamp] = [await credentials(store, samples), await store.stamp()];
          let done: { renews: boolean; ends?: string } = { renews: false };
          try {
            done = await perform(store, step, samples);
          } catch (error) {
            assert.ok(isNebulaError(error, "already_exists"), String(error)); // A3: the hash is another's
          }
          const [after, renewed] = [await credentials(store, samples), (await store.stamp()) !== stamp];
          if (done.renews) assert.ok(renewed, `${step.kind}: the stamp was not renewed`);
          if (!renewed) {
            const lasting = [...before].filter(([hash]) => hash !== done.ends);
            for (const [hash, who] of lasting) assert.equal(after.get(hash), who, `${step.kind}: valid no more under the same stamp`);
          }
          acts++;
        }
      }),
      { numRuns: runs },
    );
    assert.ok(acts >= runs);
  }).timeout(120_000);

  it("the store renews the stamp at a change of a user or user_group and at every revocation, repeated ones included (A1)", async () => {
    const store = storeOf();
    const { userWrite, groupWrite, enrolment, device, hashOf } = freshSamples();
    const renewed = async (call: () => Promise<unknown>) => {
      const before = await store.stamp();
      await call();
      return (await store.stamp()) !== before;
    };
    const d1 = device("d1");
    await store.createEnrolment(enrolment("e1", { usesLeft: 5 }));
    await store.enrol(d1);
    await store.announceNext(d1.tokenHash, hashOf("next"));
    assert.equal(await renewed(() => store.writeUser(userWrite("ann", 0n))), true);
    assert.equal(await renewed(() => store.writeUserGroup(groupWrite("staff", 0n))), true);
    assert.equal(await renewed(() => store.promoteNext(hashOf("next"), NOW_MS)), false, "the end of a rotated token");
    for (let times = 0; times < 2; times++) {
      assert.equal(await renewed(() => store.revokeDeviceToken(d1.deviceId)), true);
      assert.equal(await renewed(() => store.revokeEnrolment(enrolment("e1").id)), true);
    }
  });

  it("the store never has a stamp twice (A1)", async () => {
    const store = storeOf();
    const { userWrite } = freshSamples();
    const stamps = new Set([await store.stamp()]);
    for (let revision = 0n; revision < 20n; revision++) {
      await store.writeUser(userWrite("ann", revision));
      stamps.add(await store.stamp());
    }
    assert.equal(stamps.size, 21);
  });

  it("the store gives a hash to one of many that request it at once (A3)", async () => {
    const store = storeOf();
    const { userWrite, enrolment, device, hashOf } = freshSamples();
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
  }).timeout(30_000);

  it("an enrolment token admits at most its number of devices, for any number of calls at once (A4)", async () => {
    const store = storeOf();
    const numbers = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), numbers, async (uses, calls) => {
        const { enrolment, device } = freshSamples();
        const token = enrolment("e1", { usesLeft: uses });
        await store.createEnrolment(token);
        const outcomes = await Promise.all(calls.map((number) => store.enrol(device(`d${number}`))));
        const wanted = new Set(calls);
        const inside = new Set(calls.filter((_, i) => outcomes[i]?.kind === "enrolled"));
        assert.equal(inside.size, Math.min(uses, wanted.size), "as many as there are uses, no more and no fewer");
        assert.equal((await store.enrolmentByTokenHash(token.tokenHash))?.usesLeft, uses - inside.size, "a repeat uses nothing up");
        for (const number of wanted) assert.equal((await store.deviceToken(device(`d${number}`).deviceId)) !== undefined, inside.has(number));
      }),
      { numRuns: runs },
    );
  }).timeout(120_000);
}
