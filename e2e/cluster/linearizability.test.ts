import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { credentials } from "@grpc/grpc-js";
import { CONFIG_DATABASE } from "../../common/open-drivers.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { openSqliteConfigStore } from "../../common/storage/sqlite/config-store.ts";
import { Server } from "../harness/server.ts";
import { grpcDoor, httpDoor } from "./app-door.ts";
import { assertLinearizable, runClients } from "./register-clients.ts";

const LONG = process.env.NEBULA_TEST_LONG === "1";
const KILLS = LONG ? 20 : 2;
const APPS = Array.from({ length: 50 }, (_, i) => `register-${i}`);

describe("compare-and-set of entities is linearizable", function () {
  this.timeout(LONG ? 600_000 : 120_000);

  it("compare-and-set of entities is linearizable on an embedded server that is killed and restarted meanwhile", async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "nebula-registers-"));
    try {
      await using server = await Server.start({ dataDir });
      for (const name of APPS) await server.api.createApp({ name, dockerImage: "busybox:1" });
      using channel = new GrpcChannel(`127.0.0.1:${server.grpcPort}`, credentials.createInsecure());
      const doors = [grpcDoor("grpc", channel, server.api.headers), httpDoor("gateway", server.url, server.api.headers)];
      const clients = runClients({ doors, apps: APPS, clientsPerApp: 4, operations: LONG ? 20_000 : 2000, pauseMs: 200 });
      for (let kills = 0; kills < KILLS; kills++) {
        await delay(500);
        await server.kill();
        await server.startAgain();
      }
      const seen = await clients;
      await server.stop();
      await using store = await openSqliteConfigStore({ path: join(dataDir, CONFIG_DATABASE) });
      await assertLinearizable(store, seen);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
