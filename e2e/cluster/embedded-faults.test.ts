import { strict as assert } from "node:assert";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { CONFIG_DATABASE } from "../../common/open-drivers.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { Api } from "../harness/api.ts";
import { Server } from "../harness/server.ts";
import { grpcDoor, httpDoor } from "./app-door.ts";
import { Trial } from "./trial.ts";

describe("devices of an embedded server, whose apps are changed all the time", function () {
  this.timeout(240_000);
  let opened: AsyncDisposableStack;
  let server: Server;
  let trial: Trial;

  before(async () => {
    await using opening = new AsyncDisposableStack();
    server = opening.use(await Server.start());
    const address = `127.0.0.1:${server.grpcPort}`;
    const api = opening.use(new Api(address, server.password)); // the server's own is closed when it is killed
    const store = opening.use(await openSqliteConfigStore({ path: join(server.dataDir, CONFIG_DATABASE) }));
    const channel = opening.use(new GrpcChannel(address, credentials.createInsecure()));
    const doors = [grpcDoor("manager", channel, api.headers), httpDoor("gateway", server.url, api.headers)];
    trial = opening.use(await Trial.start({ api, server: server.url, doors, store, devices: 40, groups: 4, fleetProcesses: 2, pauseMs: 500 }));
    opened = opening.move();
  });
  after(async () => {
    await opened?.disposeAsync();
  });

  it("all devices follow after the server was killed and started again", async () => {
    await trial.survive(async () => {
      const { connects } = await trial.fleet.look();
      await server.kill();
      await delay(1000); // calls and connections find nobody
      await server.startAgain();
      await eventually(async () => (await trial.fleet.look()).connects >= connects + 40, { timeoutMs: 60_000, everyMs: 250 });
    });
  });

  it("all devices follow after the server stood still for some seconds", async () => {
    await trial.survive(async () => {
      const before = trial.writers.acknowledged;
      await eventually(() => trial.writers.acknowledged > before, { timeoutMs: 30_000 });
      server.program.child.kill("SIGSTOP");
      const stopped = trial.writers.acknowledged;
      await delay(3000); // the length of the outage
      server.program.child.kill("SIGCONT");
      const answered = trial.writers.acknowledged - stopped; // those whose answers were on their way
      assert.ok(answered <= trial.writers.count, `${answered} writes were acknowledged while the server stood still`);
    });
  });
});
