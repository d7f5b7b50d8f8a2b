import { strict as assert } from "node:assert";
import { request as httpRequest } from "node:http";
import { Registry } from "prom-client";
import { PART_TOKEN_HEADER, partToken } from "../common/access/part-token.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { createMemoryFeed } from "../common/feed/memory-feed.ts";
import { createLog, silentLog } from "../common/log/log.ts";
import { eventually } from "../common/testing/eventually.ts";
import { startGateway } from "./main.ts";
import { app, CLUSTER_KEY, CREATE, errorOf, GatewayRig, gatewayFor, type Json, linesOf, post, raw, urlOf, WATCH } from "./testing/gateway-fixture.ts";
import { type Answers, StandInManager } from "./testing/stand-in-manager.ts";

describe("gateway", () => {
  const rig = GatewayRig.describe();
  const { answers } = rig;

  describe("its port", () => {
    it("the gateway answers /healthz on its port, and no metrics", async () => {
      assert.equal(await (await fetch(urlOf(rig.gateway, "/healthz"))).text(), "ok\n");
      assert.equal((await fetch(urlOf(rig.gateway, "/metrics"))).status, 404);
    });

    it("the gateway answers /readyz with 503 and what is missing until a manager is connected", async () => {
      await eventually(async () => (await fetch(urlOf(rig.gateway, "/readyz"))).status === 200);
      assert.equal(await (await fetch(urlOf(rig.gateway, "/readyz"))).text(), "ok\n");
      await using alone = await gatewayFor([]); // of a manager that is not there
      const missing = await fetch(urlOf(alone, "/readyz"));
      assert.deepEqual([missing.status, await missing.json()], [503, { not_ready: ["gateway: no manager answers"] }]);
      assert.equal((await fetch(urlOf(alone, "/healthz"))).status, 200);
    });

    it("the gateway refuses calls of a page of another site", async () => {
      answers.createApp = async () => ({ app });
      assert.equal((await post(rig.gateway, CREATE, "{}", { origin: "http://evil.example.com" })).status, 403);
      assert.equal((await post(rig.gateway, CREATE, "{}", { "sec-fetch-site": "cross-site" })).status, 403);
      assert.equal(rig.manager.seen.length, 0);
      assert.equal((await post(rig.gateway, CREATE, "{}", { origin: urlOf(rig.gateway) })).status, 200);
    });

    it("the gateway is reached by its own name where authentication is off", async () => {
      await using open = await gatewayFor([rig.manager], { authEnabled: false });
      const statusFor = (host: string) =>
        new Promise((resolve, reject) => {
          httpRequest({ port: open.address.port, path: "/healthz", headers: { host } }, (response) => resolve(response.resume().statusCode))
            .on("error", reject)
            .end();
        });
      assert.equal(await statusFor("localhost:8080"), 200);
      assert.equal(await statusFor("rebound.example.com"), 403);
    });

    it("the gateway survives invalid requests", async () => {
      const json = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
      assert.match(await raw(rig.gateway, `POST ${CREATE} HTTP/1.0\r\n${json}`), / 400 /);
      assert.match(await raw(rig.gateway, `POST ${CREATE} HTTP/1.1\r\nHost: a b\r\n${json}`), / 400 /);
      assert.match(await raw(rig.gateway, "GET // HTTP/1.1\r\nHost: x\r\n\r\n"), / 404 /);
      assert.match(await raw(rig.gateway, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"), / 404 /);
      assert.match(await raw(rig.gateway, "nonsense\r\n\r\n"), / 400 /);
      assert.equal((await fetch(urlOf(rig.gateway, "/healthz"))).status, 200);
    });

    it("the gateway logs requests with their ids, without queries and logins, and counts them by known names", async () => {
      answers.createApp = async () => ({ app });
      const lines: Json[] = [];
      const log = createLog({ level: "info", part: "gateway", destination: { write: (line) => void lines.push(JSON.parse(line)) } });
      const registry = new Registry();
      await using logged = await gatewayFor([rig.manager], { log, registry });
      await post(logged, `${CREATE}?password=hunter2`, "{}", { "x-request-id": "ci-43" });
      await post(logged, "/invented/path", "{}");
      const requests = () => lines.filter(({ msg }) => msg === "request");
      await eventually(() => requests().length === 2);
      const [first] = requests();
      assert.deepEqual([first?.requestId, first?.path, first?.status], ["ci-43", CREATE, 200]);
      assert.doesNotMatch(JSON.stringify(lines), /hunter2|Basic/);
      const figures = await registry.metrics();
      assert.match(figures, /nebula_http_requests_total\{route="\/nebula\.v1\.AppService\/CreateApp",status="200"\} 1/);
      assert.doesNotMatch(figures, /invented/);
    });
  });
});

describe("gateway and its managers", () => {
  it("the gateway logs once which managers it found, with their versions, and that an older one does not report its own", async () => {
    const status = async () => ({ version: "9.8.7", cluster: { id: "c1", epoch: 3n } });
    await using newer = await StandInManager.start({ status });
    await using older = await StandInManager.start({});
    const lines: Json[] = [];
    const log = createLog({ level: "info", part: "gateway", destination: { write: (line) => void lines.push(JSON.parse(line)) } });
    await using _gateway = await gatewayFor([newer, older], { log });
    const found = (address: string) => lines.filter((line) => line.address === address && /^a manager answers/.test(String(line.msg)));
    const [newerAt, olderAt] = [newer, older].map(({ port }) => `127.0.0.1:${port}`);
    await eventually(() => found(newerAt ?? "").length > 0 && found(olderAt ?? "").length > 0);
    const [line, ...more] = found(newerAt ?? "");
    assert.deepEqual([line?.version, line?.cluster, line?.epoch, line?.reachesStore], ["9.8.7", "c1", 3, true]);
    assert.deepEqual(more, []);
    const [call] = newer.seen.filter(({ method }) => method === "getStatus");
    assert.deepEqual(call?.metadata.get(PART_TOKEN_HEADER), [partToken(CLUSTER_KEY)]);
    assert.match(String(found(olderAt ?? "")[0]?.msg), /does not tell its version/);
  });

  it("the gateway calls any manager that is up, and continues when one ends", async () => {
    const calls: Answers = { createApp: async () => ({ app }) };
    await using one = await StandInManager.start(calls);
    await using two = await StandInManager.start(calls);
    await using gateway = await gatewayFor([one, two]);
    let count = 0;
    const write = async () => (await post(gateway, CREATE, JSON.stringify({ app: { name: `app-${count++}` } }))).status;
    await eventually(async () => {
      assert.equal(await write(), 200);
      return one.calls("createApp") > 2 && two.calls("createApp") > 2;
    });
    await one[Symbol.asyncDispose]();
    await eventually(async () => (await write()) === 200);
    for (let call = 0; call < 10; call++) assert.equal(await write(), 200);
  });

  it("the gateway never sends a change twice, and answers that its outcome is unknown; a read is sent again", async () => {
    const hanging: Answers = { createApp: () => new Promise(() => {}), getApp: () => new Promise(() => {}) };
    const one = await StandInManager.start(hanging);
    await using gateway = await gatewayFor([one]);
    const write = post(gateway, CREATE, "{}");
    const read = post(gateway, "/nebula.v1.AppService/GetApp", '{"name": "web"}');
    await eventually(() => one.seen.length === 2);
    await one[Symbol.asyncDispose]();
    await using two = await StandInManager.start({ createApp: async () => ({ app }), getApp: async () => ({ app }) }, one.port);
    const error = await errorOf(await write);
    assert.deepEqual([error.status, error.code], [503, "unavailable"]);
    assert.match(error.message, /outcome unknown/);
    assert.equal((await read).status, 200);
    assert.deepEqual(
      two.seen.map(({ method }) => method),
      ["getApp"],
    );
  });

  it("the gateway answers within seconds that no manager is reachable, and serves once one is", async () => {
    const away = await StandInManager.start({});
    await away[Symbol.asyncDispose]();
    await using gateway = await gatewayFor([away]);
    assert.equal(gateway.ready, false);
    const error = await errorOf(await post(gateway, CREATE, "{}"));
    assert.deepEqual([error.status, error.code], [503, "unavailable"]);
    assert.match(error.message, new RegExp(`no manager answers at 127\\.0\\.0\\.1:${away.port}`));
    await using back = await StandInManager.start({ createApp: async () => ({ app }) }, away.port);
    await eventually(() => gateway.ready);
    assert.equal((await post(gateway, CREATE, "{}")).status, 200);
    assert.equal(back.seen.length, 1);
  });
});

describe("gateway that stops", () => {
  it("the gateway ends streams with a reason when it stops, finishes calls in flight, and takes no new ones", async () => {
    const release = Promise.withResolvers<void>();
    await using manager = await StandInManager.start({
      createApp: async () => {
        await release.promise;
        return { app };
      },
      watchConfig: async function* (signal) {
        yield { answer: { case: "unchanged", value: {} } };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const gateway = await gatewayFor([manager]);
    const lines = linesOf(await post(gateway, WATCH, "{}"));
    await lines.next();
    const call = post(gateway, CREATE, "{}");
    await eventually(() => manager.seen.length === 2);
    const stopped = gateway.stop();
    assert.deepEqual(Object((await lines.next()).value).error?.code, "unavailable");
    await assert.rejects(fetch(urlOf(gateway, "/healthz"), { headers: { connection: "close" } }));
    release.resolve();
    assert.equal((await call).status, 200);
    await stopped;
  });

  it("the gateway does not wait without end at its stop for a call that hangs", async () => {
    await using manager = await StandInManager.start({ createApp: () => new Promise(() => {}) });
    const gateway = await gatewayFor([manager], { stopMs: 200 });
    const call = assert.rejects(post(gateway, CREATE, "{}"));
    await eventually(() => manager.seen.length === 1);
    const begun = performance.now();
    await gateway.stop();
    assert.ok(performance.now() - begun < 2000);
    await call;
  });

  it("the gateway reports that its address is taken", async () => {
    await using manager = await StandInManager.start({});
    await using first = await gatewayFor([manager]);
    const settings = { httpListen: first.address, grpcListen: first.address, managers: [], authEnabled: true };
    await assert.rejects(
      startGateway({
        settings,
        secrets: { clusterKey: CLUSTER_KEY },
        changeFeed: createMemoryFeed({ log: silentLog }),
        clock: systemClock,
        log: silentLog,
        registry: new Registry(),
      }),
      /127\.0\.0\.1:\d+ \(NEBULA_HTTP_LISTEN\) is taken/,
    );
  });
});
