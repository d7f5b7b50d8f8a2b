import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ADMIN_RIGHTS, type GrantingGroup, mayCreate, mayPrune, mayRead, mayWrite, NO_RIGHTS, readableRanges, rightsOf } from "./rights.ts";

const NONE: GrantingGroup = { admin: false, pruningAllowed: false, apps: {}, cronJobs: {}, deviceGroups: {} };
const app = (name: string) => ({ kind: "app", name }) as const;

/** Names and patterns of few letters, so that they meet. */
const name = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 3 });
const pattern = fc.oneof(
  name,
  name.map((prefix) => `${prefix}*`),
  fc.constant("*"),
);
const permissions = fc.dictionary(pattern, fc.constantFrom("ro", "rw"), { maxKeys: 4, noNullPrototype: true });
const group: fc.Arbitrary<GrantingGroup> = fc.record({
  admin: fc.constant(false),
  pruningAllowed: fc.boolean(),
  apps: permissions,
  cronJobs: permissions,
  deviceGroups: permissions,
});

/** Whether a map grants a name one of the levels, read slowly and plainly. */
function says(given: Readonly<Record<string, string>>, wanted: string, levels: readonly string[]): boolean {
  return Object.entries(given).some(
    ([key, level]) => levels.includes(level) && (key === wanted || (key.endsWith("*") && wanted.startsWith(key.slice(0, -1)))),
  );
}

describe("rights", () => {
  it("rights of several user_groups are the most that any of them grants; rw includes ro", () => {
    fc.assert(
      fc.property(fc.array(group, { maxLength: 4 }), name, (groups, wanted) => {
        const rights = rightsOf(groups);
        assert.equal(
          mayRead(rights, app(wanted)),
          groups.some(({ apps }) => says(apps, wanted, ["ro", "rw"])),
        );
        assert.equal(
          mayWrite(rights, app(wanted)),
          groups.some(({ apps }) => says(apps, wanted, ["rw"])),
        );
      }),
    );
  });

  it("the ranges of readable names hold each name that the user may read, once and in order, and no name lies between a range and its beginning", () => {
    const all = fc.sample(name, 200).flatMap((each) => [each, `${each}-`, `${each}.x`, `${each}0`]);
    const names = [...new Set(all)].sort();
    fc.assert(
      fc.property(fc.array(group, { maxLength: 3 }), (groups) => {
        const rights = rightsOf(groups);
        const found = readableRanges(rights, "app").flatMap(({ after, has }) => {
          const later = names.filter((each) => each > after);
          const end = later.findIndex((each) => !has(each));
          return end < 0 ? later : later.slice(0, end);
        });
        assert.deepEqual(
          found,
          names.filter((each) => mayRead(rights, app(each))),
        );
      }),
    );
    assert.equal(readableRanges(ADMIN_RIGHTS, "app").length, 1);
    assert.deepEqual(readableRanges(NO_RIGHTS, "app"), []);
  });

  it("rights never shrink by another user_group", () => {
    fc.assert(
      fc.property(fc.array(group, { maxLength: 3 }), group, name, (groups, more, wanted) => {
        const [before, after] = [rightsOf(groups), rightsOf([...groups, more])];
        for (const kind of ["app", "cron_job", "device_group"] as const) {
          assert.ok(!mayRead(before, { kind, name: wanted }) || mayRead(after, { kind, name: wanted }));
          assert.ok(!mayWrite(before, { kind, name: wanted }) || mayWrite(after, { kind, name: wanted }));
        }
        assert.ok(!mayPrune(before, wanted) || mayPrune(after, wanted));
      }),
    );
  });

  it("rights keep the kinds apart", () => {
    const rights = rightsOf([{ ...NONE, apps: { web: "rw" }, cronJobs: { nightly: "ro" } }]);
    assert.ok(!mayRead(rights, { kind: "cron_job", name: "web" }));
    assert.ok(!mayRead(rights, { kind: "device_group", name: "web" }));
    assert.ok(mayRead(rights, { kind: "cron_job", name: "nightly" }));
    assert.ok(!mayWrite(rights, { kind: "cron_job", name: "nightly" }));
  });

  it("pruning_allowed holds for the device_groups that the user may read, and rw holds for pruning too", () => {
    const pruning = rightsOf([
      { ...NONE, pruningAllowed: true },
      { ...NONE, deviceGroups: { "shop-*": "ro" } },
    ]);
    assert.ok(mayPrune(pruning, "shop-1"));
    assert.ok(!mayPrune(pruning, "office"));
    assert.ok(!mayWrite(pruning, { kind: "device_group", name: "shop-1" }));
    assert.ok(mayPrune(rightsOf([{ ...NONE, deviceGroups: { office: "rw" } }]), "office"));
    assert.ok(!mayPrune(rightsOf([{ ...NONE, deviceGroups: { office: "ro" } }]), "office"));
  });

  it("names may be created where rw is granted on a prefix, or on a single name that does not exist yet", () => {
    const may = (deviceGroups: Record<string, string>, ...existing: string[]) =>
      mayCreate(rightsOf([{ ...NONE, deviceGroups }]), "device_group", (name) => existing.includes(name));
    assert.ok(may({ "*": "rw" }) && may({ "shop-*": "rw", office: "ro" }, "shop-1"));
    assert.ok(may({ office: "rw" }) && !may({ office: "rw" }, "office"));
    assert.ok(!may({ "*": "ro", office: "ro" }) && !may({}));
    assert.ok(mayCreate(ADMIN_RIGHTS, "app", () => true));
    assert.ok(!mayCreate(rightsOf([{ ...NONE, deviceGroups: { "*": "rw" } }]), "app", () => false));
  });

  it("an admin has all rights, a caller without a login none; an unknown level grants nothing", () => {
    assert.ok(mayWrite(ADMIN_RIGHTS, app("web")) && mayPrune(ADMIN_RIGHTS, "g"));
    assert.ok(mayWrite(rightsOf([NONE, { ...NONE, admin: true }]), app("web")));
    assert.ok(!mayRead(NO_RIGHTS, app("web")) && !mayPrune(NO_RIGHTS, "g"));
    assert.ok(!mayRead(rightsOf([{ ...NONE, apps: { web: "RW", "*": "all", __proto__: "rw" } }]), app("web")));
  });
});
