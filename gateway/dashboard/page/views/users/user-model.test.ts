import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { SessionCredential, SessionSchema } from "../../../../../gen/nebula/v1/access_pb.ts";
import { ListUsersResponseSchema } from "../../../../../gen/nebula/v1/user_pb.ts";
import { sessionLine, userLines } from "./user-model.ts";

describe("the lines of users and of sessions", () => {
  it("a user has its first user_groups and how many more there are, and never a hash", () => {
    const lines = userLines(
      create(ListUsersResponseSchema, {
        users: [{ name: "ann", revision: 3n, passwordHash: "$argon2id$secret", tokenHash: "0123" }, { name: "bob" }],
        memberships: [{ userGroups: ["a", "b", "c", "d"], count: 12 }, {}],
        lastChanges: [{ at: timestampFromMs(5000), by: "root\u202e" }, {}],
      }),
    );
    assert.deepEqual(lines, [
      { name: "ann", revision: 3n, password: "argon2id", token: "yes", groups: ["a", "b", "c"], more: 9, by: "root\\u202e", at: 5000 },
      { name: "bob", revision: 0n, password: "none", token: "none", groups: [], more: 0, by: "", at: undefined },
    ]);
  });

  it("a session says what it was made with, until when it lasts, and whether this browser has it", () => {
    const made = { id: "5ec003bb20b0e238", user: "ann", madeFrom: "192.0.2.1", createdAt: timestampFromMs(1000), expiresAt: timestampFromMs(9000) };
    const line = sessionLine(create(SessionSchema, { ...made, madeWith: SessionCredential.TOKEN, current: true }));
    assert.deepEqual(line, { id: "5ec003bb20b0e238", user: "ann", madeWith: "token", from: "192.0.2.1", at: 1000, endsAt: 9000, isCurrent: true });
    assert.equal(sessionLine(create(SessionSchema, { ...made, madeWith: SessionCredential.PASSWORD })).madeWith, "password");
  });
});
