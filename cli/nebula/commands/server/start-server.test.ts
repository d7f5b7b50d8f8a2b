import { strict as assert } from "node:assert";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../../common/errors/nebula-error.ts";
import { listen } from "../../../../common/http/listen.ts";
import { createLog, silentLog } from "../../../../common/log/log.ts";
import { formatAddress } from "../../../../common/net/address.ts";
import { resolveSettings } from "../../../../common/settings/resolve-settings.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import { VERSION } from "../../../../common/version.ts";
import { type StartOptions, startGatewayAlone, startManagerAlone, startReporterAlone, startServer } from "./start-server.ts";

describe("starting parts in this process", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "nebula-start-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  function options(env: Record<string, string> = {}): StartOptions {
    const all = { NEBULA_DATA: join(root, "data"), NEBULA_HTTP_LISTEN: "127.0.0.1:0", NEBULA_GRPC_LISTEN: "127.0.0.1:0", ...env };
    const { settings } = resolveSettings({ command: "server", args: [], env: all, readFile: () => "" });
    return { settings, clock: systemClock, logOf: () => silentLog, registry: new Registry() };
  }

  /** Calls GetStatus over HTTP with a password, or without. */
  async function status(address: { host: string; port: number }, password?: string): Promise<number> {
    const authorization: Record<string, string> =
      password === undefined ? {} : { authorization: `Basic ${Buffer.from(`admin:${password}`).toString("base64")}` };
    const url = `http://${formatAddress(address)}/nebula.v1.StatusService/GetStatus`;
    return (await fetch(url, { method: "POST", body: "{}", headers: { "content-type": "application/json", ...authorization } })).status;
  }

  it("a server answers on the ports that it got, to the admin alone", async () => {
    await using server = await startServer(options());
    assert.ok(server.gateway && server.secrets);
    assert.equal(await status(server.gateway.address, server.secrets.adminPassword), 200);
    assert.equal(await status(server.gateway.address, "wrong"), 401);
    assert.equal(await status(server.gateway.address), 401);
    await eventually(() => server.notReady().length === 0);
  });

  it("a server that is stopped can be started again at once, with the same login", async () => {
    const first = await startServer(options());
    await first[Symbol.asyncDispose]();
    await using again = await startServer(options());
    assert.equal(again.secrets?.adminPassword, first.secrets?.adminPassword);
    assert.deepEqual([first.secrets?.passwordFile?.made, again.secrets?.passwordFile?.made], [true, false]);
  });

  it("a start that fails releases everything, and a password that was never shown", async () => {
    const other = createServer();
    const taken = formatAddress(await listen(other, { host: "127.0.0.1", port: 0 }, "test"));
    try {
      for (const variable of ["NEBULA_HTTP_LISTEN", "NEBULA_GRPC_LISTEN"]) {
        await assert.rejects(
          startServer(options({ [variable]: taken })),
          (error) => isNebulaError(error, "failed_precondition") && error.message.startsWith(`${taken} (${variable}) is taken`),
        );
        assert.ok(!(await readdir(join(root, "data"))).includes("admin-password"));
      }
      await using server = await startServer(options());
      assert.equal(server.secrets?.passwordFile?.made, true);
    } finally {
      other.close();
    }
  });

  it("manager and gateway find each other as processes of their own, and trust each other by the cluster key", async () => {
    await using manager = await startManagerAlone(options());
    assert.ok(manager.manager && manager.secrets);
    const managers = `grpc://${manager.manager.address}`;
    const key = { NEBULA_CLUSTER_KEY: manager.secrets.clusterKey };
    const lines: string[] = [];
    const logOf = () => createLog({ level: "info", part: "gateway", destination: { write: (line) => void lines.push(line) } });
    await using gateway = await startGatewayAlone({ ...options({ NEBULA_MANAGERS: managers, ...key }), logOf });
    await using stranger = await startGatewayAlone(options({ NEBULA_MANAGERS: managers, NEBULA_CLUSTER_KEY: "the key of another cluster" }));
    assert.ok(gateway.gateway && stranger.gateway);
    assert.equal(await status(gateway.gateway.address, manager.secrets.adminPassword), 200);
    assert.equal(await status(stranger.gateway.address, manager.secrets.adminPassword), 401);
    await eventually(() => gateway.notReady().length === 0);
    await eventually(() => assert.match(lines.join(""), new RegExp(`"version":"${VERSION}".*"a manager answers"`)));
  });

  it("a reporter by itself refuses the bus of one process, to which no manager writes", async () => {
    const refused = (error: unknown) => isNebulaError(error, "invalid_argument") && error.message.includes("kafka://");
    await assert.rejects(startReporterAlone(options()), refused);
  });

  it("an anonymous caller of the gateway gets nothing that only a part may have", async () => {
    await using server = await startServer(options());
    assert.ok(server.gateway);
    const url = `http://${formatAddress(server.gateway.address)}/nebula.v1.`;
    for (const method of ["ConfigService/WatchConfig", "ShardService/GetShardMap", "ConfigService/GetConfig", "AppService/ListApps"]) {
      const response = await fetch(`${url}${method}`, { method: "POST", body: "{}", headers: { "content-type": "application/json" } });
      assert.equal(response.status, 401, method);
    }
  });
});
