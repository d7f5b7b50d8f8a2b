import { strict as assert } from "node:assert";
import { OPERATIONS } from "../gateway/v2/operations.ts";
import { invalid } from "./v2/invalid.ts";
import { describeRows, type Row, type RowCall } from "./v2/row.ts";
import { basic, V2Client, type V2Response } from "./v2/v2-client.ts";

const PASSWORD = "a user's password";
const TOKEN = "a-users-token-in-clear";
const CREATE_GROUP: RowCall = ["POST", "/user_groups/~crew", { group_members: ["~ann"] }];
const NOTHING = { user_group: "~crew", group_members: [], pruning_allowed: false, apps: {}, device_groups: {}, cron_jobs: {}, admin: false };
const ALL = {
  group_members: ["~ann"],
  pruning_allowed: true,
  apps: { web: "rw", "shop-*": "ro" },
  device_groups: { "*": "ro" },
  cron_jobs: { clean: "rw" },
  admin: true,
};

/** The stored hashes, and no credential in clear. */
function shown(body: unknown): void {
  const { user_name, password, token, ...more } = Object(body);
  assert.equal(user_name, "~ann");
  assert.match(password, /^\$argon2id\$/);
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.deepEqual(more, {});
}

const USERS: readonly Row[] = [
  {
    it: "POST creates a user, shown with hashes",
    call: ["POST", "/users/~ann", { password: PASSWORD, token: "another-token-of-~ann" }],
    status: 200,
    holds: shown,
  },
  {
    it: "a password and a token that are missing are made, and answered once",
    call: ["POST", "/users/~ann", {}],
    status: 200,
    holds: (body) => {
      const { generated_password, generated_token, ...user } = Object(body);
      shown(user);
      assert.ok(generated_password.length >= 8 && generated_token.length >= 32);
    },
  },
  {
    it: "POST refuses a second create of a user",
    given: [["POST", "/users/~ann"]],
    call: ["POST", "/users/~ann"],
    status: 403,
    answer: { user_exists: true },
  },
  {
    it: "POST refuses a password that is not a string",
    call: ["POST", "/users/~ann", { password: 12_345_678 }],
    status: 400,
    holds: invalid("password", /use a string/),
  },
  {
    it: "POST refuses a password that is too short",
    call: ["POST", "/users/~ann", { password: "geheim" }],
    status: 400,
    holds: invalid("password", /8 to 256/),
  },
  {
    it: "GET /users answers names",
    given: [["POST", "/users/~ann"]],
    call: ["GET", "/users"],
    status: 200,
    holds: (body) => assert.ok(Object(body).users.includes("~ann")),
  },
  { it: "GET reads a user", given: [["POST", "/users/~ann"]], call: ["GET", "/users/~ann"], status: 200, holds: shown },
  { it: "GET refuses a user that does not exist", call: ["GET", "/users/~ann"], status: 403, answer: { user_exists: false } },
  { it: "DELETE of a user answers {}", given: [["POST", "/users/~ann"]], call: ["DELETE", "/users/~ann"], status: 200, answer: {} },
  { it: "DELETE refuses a user that does not exist", call: ["DELETE", "/users/~ann"], status: 403, answer: { user_exists: false } },
  ...(["PUT", "PATCH"] as const).flatMap((method): Row[] => [
    {
      it: `${method} update of a user changes the given fields`,
      given: [["POST", "/users/~ann"]],
      call: [method, "/users/~ann/update", { password: PASSWORD }],
      status: 200,
      holds: shown,
    },
    {
      it: `${method} update of a user with unknown fields alone counts as one with nothing`,
      given: [["POST", "/users/~ann"]],
      call: [method, "/users/~ann/update", { unheard_of: 1 }],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update of a user with nothing is refused`,
      given: [["POST", "/users/~ann"]],
      call: [method, "/users/~ann/update", {}],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update of a user that does not exist says user_name`,
      call: [method, "/users/~ann/update", { password: PASSWORD }],
      status: 403,
      answer: { user_name: false },
    },
  ]),
  {
    it: "POST refresh answers the new token in clear",
    given: [["POST", "/users/~ann"]],
    call: ["POST", "/users/~ann/refresh"],
    status: 200,
    holds: (body) => {
      assert.deepEqual(Object.keys(Object(body)), ["token"]);
      assert.match(Object(body).token, /^[\w-]{32,}$/);
    },
  },
  {
    it: "POST refresh of a user that does not exist says user_name",
    call: ["POST", "/users/~ann/refresh"],
    status: 403,
    answer: { user_name: false },
  },
];

const USER_GROUPS: readonly Row[] = [
  { it: "POST creates a user_group; what is not given is not allowed", call: ["POST", "/user_groups/~crew", {}], status: 200, answer: NOTHING },
  { it: "POST takes every field", call: ["POST", "/user_groups/~crew", ALL], status: 200, answer: { user_group: "~crew", ...ALL } },
  { it: "POST refuses a second create of a user_group", given: [CREATE_GROUP], call: CREATE_GROUP, status: 403, answer: { user_group_exists: true } },
  {
    it: "POST refuses an invalid permission",
    call: ["POST", "/user_groups/~crew", { apps: { web: "all" } }],
    status: 400,
    holds: invalid("apps.web", /use ro or rw/),
  },
  {
    it: "POST refuses members that are not a list",
    call: ["POST", "/user_groups/~crew", { group_members: { ann: true } }],
    status: 400,
    holds: invalid("group_members", /a list/),
  },
  {
    it: "GET /user_groups answers names",
    given: [CREATE_GROUP],
    call: ["GET", "/user_groups"],
    status: 200,
    holds: (body) => assert.ok(Object(body).user_groups.includes("~crew")),
  },
  {
    it: "GET reads a user_group",
    given: [CREATE_GROUP],
    call: ["GET", "/user_groups/~crew"],
    status: 200,
    answer: { ...NOTHING, group_members: ["~ann"] },
  },
  { it: "GET refuses a user_group that does not exist", call: ["GET", "/user_groups/~crew"], status: 403, answer: { user_group_exists: false } },
  { it: "DELETE of a user_group answers {}", given: [CREATE_GROUP], call: ["DELETE", "/user_groups/~crew"], status: 200, answer: {} },
  {
    it: "DELETE refuses a user_group that does not exist",
    call: ["DELETE", "/user_groups/~crew"],
    status: 403,
    answer: { user_group_exists: false },
  },
  ...(["PUT", "PATCH"] as const).flatMap((method): Row[] => [
    {
      it: `${method} update of a user_group changes only the given fields`,
      given: [CREATE_GROUP],
      call: [method, "/user_groups/~crew/update", { apps: { web: "ro" } }],
      status: 200,
      answer: { ...NOTHING, group_members: ["~ann"], apps: { web: "ro" } },
    },
    {
      it: `${method} update of a user_group with unknown fields alone counts as one with nothing`,
      given: [CREATE_GROUP],
      call: [method, "/user_groups/~crew/update", { unheard_of: 1 }],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update of a user_group with nothing is refused`,
      given: [CREATE_GROUP],
      call: [method, "/user_groups/~crew/update", {}],
      status: 400,
      answer: { missing_parameters: true },
    },
    {
      it: `${method} update refuses a user_group that does not exist`,
      call: [method, "/user_groups/~crew/update", { admin: true }],
      status: 403,
      answer: { user_group_exists: false },
    },
  ]),
];

describe("REST v2: users and user_groups", function () {
  this.timeout(60_000);
  const client = V2Client.describe();
  describeRows(client, USERS);
  describeRows(client, USER_GROUPS);

  /** Until the server has heard of changed rights. */
  async function whenAllowed(send: () => Promise<V2Response>): Promise<V2Response> {
    const end = performance.now() + 5000;
    for (;;) {
      const response = await send();
      if (response.status < 400 || performance.now() > end) return response;
    }
  }

  it("a user logs in by password, by token, by the token's base64, and by a refreshed token", async () => {
    await client.send("POST", "/users/bob", { body: { password: PASSWORD, token: TOKEN } });
    const { body } = await client.send("POST", "/users/bob/refresh");
    const refreshed = Object(body).token;
    await client.send("PUT", "/users/bob/update", { body: { token: TOKEN } });
    const bearer = (token: string) => `Bearer ${token}`;
    for (const authorization of [basic("bob", PASSWORD), bearer(TOKEN), bearer(Buffer.from(TOKEN).toString("base64"))])
      assert.equal((await whenAllowed(() => client.send("GET", "/status", { authorization }))).status, 200, authorization);
    assert.equal((await client.send("GET", "/status", { authorization: bearer(refreshed) })).status, 401);
  });

  it("a user sees and changes what its groups allow, and gets access_allowed: false for all else", async () => {
    for (const name of ["seen", "changed", "hidden"]) await client.send("POST", `/apps/${name}`, { body: { docker_image: "busybox:1" } });
    await client.send("POST", "/users/eve", { body: { password: PASSWORD } });
    await client.send("POST", "/user_groups/eves", { body: { group_members: ["eve"], apps: { seen: "ro", changed: "rw" } } });
    const authorization = basic("eve", PASSWORD);
    const as = (method: string, path: string, body?: unknown) => client.send(method, path, { authorization, body });
    assert.equal((await whenAllowed(() => as("GET", "/apps/seen"))).status, 200);
    assert.deepEqual((await as("GET", "/apps")).body, { apps: ["changed", "seen"] });
    assert.equal((await as("PUT", "/apps/changed/update", { running: false })).status, 202);
    for (const [method, path, body] of [
      ["PUT", "/apps/seen/update", { running: false }],
      ["GET", "/apps/hidden", undefined],
      ["DELETE", "/apps/seen", undefined],
      ["POST", "/apps/brand-new", { docker_image: "busybox:1" }],
      ["POST", "/device_groups/brand-new", { apps: [] }],
      ["GET", "/users", undefined],
      ["POST", "/users/eve/refresh", undefined],
      ["PUT", "/user_groups/eves/update", { admin: true }],
    ] as const) {
      const { status, body: answer } = await as(method, path, body);
      assert.deepEqual([status, answer], [403, { access_allowed: false }], `${method} ${path}`);
    }
  });

  it("every answer that the document gives an operation of users was seen", () => {
    const operations = OPERATIONS.filter(({ path }) => path.startsWith("/user"));
    assert.ok(operations.length > 12);
    assert.deepEqual(
      operations.flatMap(({ method, path, answers }) => client.answers.unseen(method, path, answers)),
      [],
    );
  });
});
