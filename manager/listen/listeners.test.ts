import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { Connections } from "./connections.ts";
import { LISTENERS_HERE, openListeners } from "./listeners.ts";

const HERE = { host: "127.0.0.1", port: 0 };

describe("listeners", () => {
  for (const listeners of new Set([1, LISTENERS_HERE])) {
    it(`${listeners} on one port take connections until they are closed`, async () => {
      const connections = new Connections();
      const opened = await openListeners(HERE, { listeners, backlog: 1000, log: silentLog }, (socket) => {
        assert.deepEqual([socket.localAddress, socket.localPort], [HERE.host, opened.port]);
        connections.add(socket);
      });
      const clients = await Promise.all(Array.from({ length: 100 }, () => open(opened.port)));
      await eventually(() => connections.size === 100);
      const [first] = clients;
      const peer = `${first?.localAddress}:${first?.localPort}`;
      first?.write("12345");
      connections.of(peer)?.resume();
      await eventually(() => connections.of(peer)?.bytesRead === 5);

      opened.close();
      await assert.rejects(open(opened.port));
      assert.equal(connections.size, 100, "open ones go on");
      for (const client of clients) client.on("error", () => {});
      connections.destroyAll();
      await connections.empty();
      assert.equal(connections.of(peer), undefined);
    });
  }

  it("listeners end connections that sent nothing for a whole period", async () => {
    const connections = new Connections();
    const opened = await openListeners(HERE, { listeners: 1, backlog: 10, log: silentLog }, (socket) => {
      connections.add(socket);
      socket.resume();
    });
    const [talks, silent] = await Promise.all([open(opened.port), open(opened.port)]);
    await eventually(() => connections.size === 2);
    connections.endIdle();
    talks.write("x");
    await eventually(() => connections.of(`${talks.localAddress}:${talks.localPort}`)?.bytesRead === 1);
    const ended = once(silent.resume(), "close");
    connections.endIdle();
    await ended;
    await eventually(() => connections.size === 1);
    connections.endIdle();
    await connections.empty();
    talks.destroy();
    opened.close();
  });

  it("listeners refuse an address that is taken, one listener or many", async () => {
    for (const mine of [1, LISTENERS_HERE]) {
      const taken = await openListeners(HERE, { listeners: mine, backlog: 10, log: silentLog }, (socket) => socket.destroy());
      for (const theirs of [1, LISTENERS_HERE]) {
        await assert.rejects(
          openListeners({ ...HERE, port: taken.port }, { listeners: theirs, backlog: 10, log: silentLog }, (socket) => socket.destroy()),
          (error) => isNebulaError(error, "failed_precondition"),
        );
      }
      taken.close();
    }
  });
});

async function open(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return socket;
}
