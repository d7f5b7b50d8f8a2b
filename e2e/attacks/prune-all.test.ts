import { strict as assert } from "node:assert";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { Program } from "../harness/program.ts";
import { Server } from "../harness/server.ts";

/** More than two calls of PruneAll prune. */
const GROUPS = 205;
const PASSWORD = "a long password";

describe("attacks by a prune of all device_groups", function () {
  this.timeout(60_000);
  let server: Server;

  Server.forSuite({}, async (started) => {
    server = started;
    for (let number = 0; number < GROUPS; number++) await server.api.createGroup(`g${number}`, []);
    const users = {
      reader: { deviceGroups: { "*": "ro" } },
      writer: { deviceGroups: { "*": "rw" } },
      pruner: { deviceGroups: { g1: "ro", g2: "rw" }, pruningAllowed: true },
    };
    for (const [name, permissions] of Object.entries(users)) await server.api.createUser(name, PASSWORD, permissions);
  });

  function prune(user: string, password = PASSWORD): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
    return fetch(`${server.url}/api/v2/prune`, { method: "POST", headers: { authorization } });
  }

  async function pruneIdOf(name: string): Promise<bigint | undefined> {
    const { channel, headers } = server.api;
    return (await channel.unary(DeviceGroupService.method.getDeviceGroup, { name }, { headers })).deviceGroup?.pruneId;
  }

  it("a prune of all is refused to a caller without pruning_allowed, rw on every group or not, and prunes nothing", async () => {
    for (const user of ["reader", "writer"]) {
      const response = await prune(user);
      assert.deepEqual([response.status, await response.json()], [403, { access_allowed: false }]);
    }
    assert.equal(await pruneIdOf("g1"), 1n);
  });

  it("a prune of all prunes the groups that a caller with the right reads, and no other", async () => {
    const response = await prune("pruner");
    assert.deepEqual([response.status, await response.json()], [202, { prune_ids: { g1: 2, g2: 2 } }]);
    assert.equal(await pruneIdOf("g3"), 1n);
  });

  it("a prune of all by an admin goes through all groups, page by page, by REST v2 and by nebulactl", async () => {
    const response = await prune("admin", server.password);
    const { prune_ids: ids } = Object(await response.json());
    assert.equal(response.status, 202);
    assert.equal(Object.keys(ids).length, GROUPS);
    assert.deepEqual([ids.g1, ids.g3], [3, 2]);
    const env = { NEBULA_SERVER: server.url, NEBULA_USER: "admin", NEBULA_PASSWORD: server.password };
    await using program = new Program(["prune", "--all", "-o", "json"], { file: "cli/nebulactl.js", env });
    assert.equal(await program.exit(), 0, program.output);
    const printed = Object(JSON.parse(program.output)).prune_ids;
    assert.equal(Object.keys(printed).length, GROUPS);
    assert.deepEqual([printed.g1, printed.g3], [4, 3]);
  });
});
