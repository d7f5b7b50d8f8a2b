import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { Server } from "../harness/server.ts";

const NAMES = 1000;

describe("polls of device_groups that do not exist", function () {
  this.timeout(180_000);

  it("hold no watch, and leave those that exist where they are", async () => {
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
    const watches = async () => {
      const response = await fetch(`${server.url}/nebula.v1.StatusService/GetStatus`, {
        method: "POST",
        body: "{}",
        headers: { ...headers, "content-type": "application/json" },
      });
      const { watches = "" }: { watches?: string | number } = await response.json();
      return Number(watches);
    };
    assert.equal(await poll("pos"), 200);
    assert.equal(await watches(), 1, "the group that exists is watched");
    await polls("none", NAMES);
    await eventually(async () => (await watches()) === 1);
    assert.equal(await poll("pos"), 200);
  });
});
