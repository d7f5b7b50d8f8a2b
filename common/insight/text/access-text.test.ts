import { strict as assert } from "node:assert";
import { auditedRevisionText, callText, membershipsText, outcomeText, passwordText, permissionsText } from "./access-text.ts";

describe("users, user_groups and the audit log in words", () => {
  it("memberships are the names that are listed, and how many more there are", () => {
    assert.equal(membershipsText({ userGroups: [], count: 0 }), "none");
    assert.equal(membershipsText({ userGroups: ["ops", "pos"], count: 2 }), "ops,pos");
    assert.equal(membershipsText({ userGroups: ["ops", "pos"], count: 14 }), "ops,pos,+12");
  });

  it("a password is named by its hash algorithm", () => {
    assert.deepEqual(
      ["", "$argon2id$v=19$x", "$2b$06$x"].map((passwordHash) => passwordText({ passwordHash })),
      ["none", "argon2id", "bcrypt"],
    );
  });

  it("permissions are in the form of --apps, by name", () => {
    assert.equal(permissionsText({ "shop-*": "rw", db: "ro" }), "db:ro,shop-*:rw");
  });

  it("an entry of the audit log names its method, its revisions and its outcome", () => {
    assert.equal(callText({ method: "/nebula.v1.AppService/UpdateApp" }), "AppService/UpdateApp");
    const revisions = [
      [41n, 42n, "41->42"],
      [0n, 1n, "->1"],
      [7n, 7n, "7"],
      [0n, 0n, ""],
    ] as const;
    for (const [revisionBefore, revisionAfter, text] of revisions) assert.equal(auditedRevisionText({ revisionBefore, revisionAfter }), text);
    assert.deepEqual([outcomeText({ outcome: "OK", repeats: 0 }), outcomeText({ outcome: "ABORTED", repeats: 3 })], ["OK", "ABORTED x3"]);
  });
});
