import { strict as assert } from "node:assert";
import { hashPassword } from "../../common/access/password-hash.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { startAuthentication } from "../testing/authentication-rig.ts";
import { basic, bearer, putTestUser, putTestUserGroup } from "../testing/test-access.ts";
import { mayRead } from "./rights/rights.ts";

const refused = (error: unknown) => isNebulaError(error, "unauthenticated");

describe("authenticate when users and rights change", () => {
  it("authenticate refuses a call that came after its credential ended, also where a check from before goes on", async () => {
    await using access = await startAuthentication();
    await putTestUser(access.store, "ann", { token: "anns-own-token-of-text" });
    const { promise: isOver, resolve: goOn } = Promise.withResolvers<void>();
    const groupsOf = access.store.groupsOf.bind(access.store);
    let held = 0;
    Object.assign(access.store, {
      async groupsOf(...asked: Parameters<typeof groupsOf>) {
        held++;
        await isOver;
        return groupsOf(...asked);
      },
    });
    const before = access.caller(bearer("anns-own-token-of-text"));
    await eventually(() => assert.equal(held, 1));
    await putTestUser(access.store, "ann", { token: "another-token-of-text" });
    access.feed.publish({ kind: "access", subject: "user/ann" });
    await eventually(() => assert.ok(access.generations.isNamedSince({ generation: 1, named: 0 }, ["user/ann"])));
    const after = [1, 2, 3].map(() => access.caller(bearer("anns-own-token-of-text")));
    goOn();
    await before; // it came before
    for (const call of after) await assert.rejects(call, { kind: "unauthenticated" });
    assert.equal(held, 1);
  });

  it("authenticate gives changed rights within a second while the feed works, and within the time of the stamp without it", async () => {
    for (const everyMs of [60_000, 50]) {
      await using access = await startAuthentication({ everyMs });
      await putTestUser(access.store, "ann", { token: "anns-own-token-of-text" });
      await putTestUserGroup(access.store, "web", ["ann"], { apps: { web: "ro" } });
      const ann = bearer("anns-own-token-of-text");
      const may = async () => {
        const { principal } = await access.caller(ann);
        return principal.kind === "user" && mayRead(principal.rights, { kind: "app", name: "web" });
      };
      assert.ok(await may());
      await putTestUserGroup(access.store, "web", [], { apps: { web: "ro" } });
      if (everyMs === 60_000) await access.feed.publish({ kind: "access", subject: "user_group/web" });
      await eventually(async () => assert.ok(!(await may())), { timeoutMs: 1000 });
    }
  });

  it("authenticate hashes no password again when rights change, so that no storm of changes, nor of logins, turns a known user away", async () => {
    await using access = await startAuthentication();
    await putTestUser(access.store, "ann", { password: "anns password" });
    const ann = basic("ann", "anns password");
    await access.caller(ann);
    const changed = async () => {
      const generation = access.generations.current;
      await putTestUserGroup(access.store, "others", [], { apps: { web: "ro" } });
      await access.feed.publish({ kind: "access", subject: "user_group/others" });
      await eventually(() => assert.ok(access.generations.current > generation), { timeoutMs: 1000 });
    };
    await changed();
    const busy = Array.from({ length: 66 }, () => hashPassword("somebody else's"));
    await assert.rejects(access.caller(basic("nobody", "x"), "192.0.2.9:1"), (error) => isNebulaError(error, "resource_exhausted"));
    assert.equal((await access.caller(ann)).principal.kind, "user");
    await Promise.all(busy);
    await putTestUser(access.store, "ann", { password: "another one" });
    await changed();
    await assert.rejects(access.caller(ann), refused);
    await putTestUser(access.store, "ann", { password: "anns password" }); // under another salt: it is looked at from the beginning
    await changed();
    assert.equal((await access.caller(ann)).principal.kind, "user");
  });
});
