import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { Api } from "../harness/api.ts";
import { Server } from "../harness/server.ts";

const NAMES = 300;

describe("polls of device_groups that do not exist", function () {
  this.timeout(180_000);

  it("polls of groups that do not exist hold no watch, and leave those that exist where they are", async () => {
    await using server = await Server.start({ env: { NEBULA_LOG_LEVEL: "error" } });
    await server.api.createGroup("pos", []);
    const headers = { authorization: server.api.headers.authorization ?? "" };
    const poll = async (name: string) => {
      const response = await fetch(`${server.url}/api/v2/device_groups/${name}/info`, { headers });
      await response.arrayBuffer();
      return response.status;
    };
    const polls = async (prefix: string, count: number) => {
      for (let at = 0; at < count; at += 50) {
        const statuses = await Promise.all(Array.from({ length: 50 }, (_, index) => poll(`${prefix}-${at + index}`)));
        assert.deepEqual(new Set(statuses), new Set([403]));
      }
    };
    await using opened = new AsyncDisposableStack();
    const managers = server.grpcPorts.map((port) => opened.use(new Api(`127.0.0.1:${port}`, server.password)));
    const watches = async () => {
      const all = await Promise.all(managers.map((api) => api.channel.unary(StatusService.method.getStatus, {}, { headers: api.headers })));
      return all.reduce((sum, status) => sum + status.watches, 0);
    };
    assert.equal(await poll("pos"), 200);
    assert.equal(await watches(), 1, "the group that exists is watched");
    await polls("none", NAMES);
    await eventually(async () => (await watches()) === 1);
    assert.equal(await poll("pos"), 200);
  });
});
