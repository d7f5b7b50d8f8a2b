import { strict as assert } from "node:assert";
import { createServer, get } from "node:http";
import { hostname } from "node:os";
import { isNebulaError } from "../errors/nebula-error.ts";
import { createLog, silentLog } from "../log/log.ts";
import { startMetricsServer } from "./metrics-server.ts";
import { createRegistry } from "./registry.ts";

describe("metrics address", () => {
  const registry = createRegistry();
  let missing: string[] = [];
  const start = (listen: { host: string; port: number; given: boolean } | undefined, log = silentLog) =>
    startMetricsServer({ listen, registry, ready: () => missing, log });

  it("the metrics address serves metrics, health and readiness, and nothing else", async () => {
    await using server = await start({ host: "127.0.0.1", port: 0, given: true });
    const fetched = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.address?.port}${path}`, init);
    const metrics = await fetched("/metrics?x=1");
    assert.equal(metrics.status, 200);
    const text = await metrics.text();
    assert.match(text, /^nebula_build_info\{version="\d+\.\d+\.\d+"\} 1$/m);
    assert.match(text, /^process_resident_memory_bytes \d+/m);
    assert.equal(await (await fetched("/healthz")).text(), "ok\n");
    assert.equal((await fetched("/readyz")).status, 200);
    missing = ["manager"];
    const notReady = await fetched("/readyz");
    assert.equal(notReady.status, 503);
    assert.deepEqual(await notReady.json(), { not_ready: ["manager"] });
    assert.equal((await fetched("/healthz")).status, 200);
    assert.equal((await fetched("/other")).status, 404);
    assert.equal((await fetched("/metrics", { method: "POST" })).status, 405);
  });

  it("the metrics address answers over loopback under a name of this machine alone, on any address that it listens on", async () => {
    for (const host of ["127.0.0.1", "0.0.0.0"]) {
      await using server = await start({ host, port: 0, given: true });
      const port = server.address?.port ?? 0;
      const statusOf = (name: string | undefined, path: string) =>
        new Promise<number>((resolve, reject) => {
          const headers = name === undefined ? {} : { host: `${name}:${port}` };
          get({ host: "127.0.0.1", port, path, headers }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          }).on("error", reject);
        });
      missing = [];
      for (const path of ["/metrics", "/readyz", "/healthz"]) {
        for (const name of ["127.0.0.1", "localhost", "[::1]", "nebula", hostname(), undefined])
          assert.equal(await statusOf(name, path), 200, `${name}`);
        for (const name of ["attacker.example", "127.0.0.1.attacker.example", "localhost.attacker.example"])
          assert.equal(await statusOf(name, path), 403, `${name}`);
      }
    }
  });

  it("the metrics address is closed when it is off", async () => {
    await using server = await start(undefined);
    assert.equal(server.address, undefined);
  });

  describe("that is taken", () => {
    const other = createServer();
    before((done) => {
      other.listen(0, "127.0.0.1", done);
    });
    after((done) => {
      other.close(done);
    });
    const address = (given: boolean) => {
      const bound = other.address();
      return { host: "127.0.0.1", port: typeof bound === "object" && bound !== null ? bound.port : 0, given };
    };

    it("a metrics address that is taken is one warning as the default", async () => {
      const lines: string[] = [];
      const log = createLog({ level: "info", part: "test", destination: { write: (line) => void lines.push(line) } });
      await using server = await start(address(false), log);
      assert.equal(server.address, undefined);
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? "", /127\.0\.0\.1:\d+ \(NEBULA_METRICS_LISTEN\) is taken/);
    });

    it("a metrics address that is taken ends the start when it was given", async () => {
      await assert.rejects(start(address(true)), (error) => isNebulaError(error, "failed_precondition") && /is taken/.test(error.message));
    });
  });
});
