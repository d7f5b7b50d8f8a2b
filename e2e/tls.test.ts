import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { TestAuthority } from "../common/testing/test-authority.ts";
import { throughout } from "../common/testing/throughout.ts";
import type { ClientTls } from "../common/tls/client-tls.ts";
import { Api } from "./harness/api.ts";
import { Program } from "./harness/program.ts";
import { SimulatedWorker } from "./harness/simulated-worker.ts";
import { TlsServer } from "./harness/tls-server.ts";

describe("TLS", function () {
  this.timeout(90_000);

  describe("of a server", () => {
    let server: TlsServer;
    before(async () => {
      server = await TlsServer.start();
      await server.api.createApp({ name: "web", dockerImage: "busybox:1", startingPorts: [] });
      await server.api.createGroup("pos", ["web"]);
    });
    after(() => server[Symbol.asyncDispose]());

    it("TLS is spoken by workers to a gateway and to a manager", async () => {
      for (const [deviceId, url] of [
        ["by-gateway", server.https],
        ["by-manager", server.grpcs],
      ] as const) {
        await using worker = worksAt(server, url, deviceId, { NEBULA_TLS_CA: server.authority.caFile });
        await server.api.appStatus(deviceId, "web", ({ appliedRevision }) => appliedRevision > 0n);
        assert.ok(worker.output.includes("connected to a manager"));
      }
    });

    it("TLS is spoken by nebulactl to both, and a certificate of another server is reported", async () => {
      for (const url of [server.https, server.grpcs]) {
        const listed = await nebulactl(server, url, { NEBULA_TLS_CA: server.authority.caFile });
        assert.deepEqual([listed.code, /\bweb\b/.test(listed.output)], [0, true], listed.output);
        const foreign = await nebulactl(server, url, {});
        assert.equal(foreign.code, 1);
        assert.match(foreign.output, /is not trusted .*--tls-ca or NEBULA_TLS_CA/);
      }
    });

    it("a certificate of an unknown authority names --tls-ca in the worker's log, by gateway and by manager", async () => {
      for (const url of [server.https, server.grpcs]) {
        await using worker = worksAt(server, url, "untrusting", {});
        await eventually(() => assert.match(worker.output, /certificate.*--tls-ca, or NEBULA_TLS_CA/));
      }
    });

    it("a login of nebulactl remembers the authority of its server", async () => {
      const home = await mkdtemp(join(tmpdir(), "nebula-home-"));
      try {
        const without = { HOME: home, NEBULA_SERVER: "", NEBULA_USER: "", NEBULA_PASSWORD: "" };
        await writeFile(join(home, "password"), server.password);
        const login = ["--username", "admin", "--password-file", join(home, "password"), "--tls-ca", server.authority.caFile];
        const stored = await nebulactl(server, "", without, ["login", "--server", server.https, ...login]);
        assert.equal(stored.code, 0, stored.output);
        const listed = await nebulactl(server, "", without);
        assert.deepEqual([listed.code, /\bweb\b/.test(listed.output)], [0, true], listed.output);
      } finally {
        await rm(home, { recursive: true });
      }
    });

    it("TLS leaves no way in clear text", async () => {
      for (const [port, scheme] of [
        [server.httpPort, "http"],
        [server.grpcPort, "grpc"],
      ] as const) {
        const refused = await nebulactl(server, `${scheme}://127.0.0.1:${port}`, {});
        assert.equal(refused.code, 1, refused.output);
      }
    });

    it("TLS is 1.2 at least", async () => {
      for (const port of [server.httpPort, server.grpcPort]) {
        const old = connect({
          host: "127.0.0.1",
          port,
          ca: server.authority.ca,
          minVersion: "TLSv1",
          maxVersion: "TLSv1.1",
          ciphers: "ALL:@SECLEVEL=0",
          ALPNProtocols: ["h2", "http/1.1"],
        });
        const [error] = await once(old, "error");
        assert.match(String(error), /protocol version|unsupported protocol/i);
        const today = await handshake(port, { ca: server.authority.ca });
        assert.equal(today.protocol, "TLSv1.3");
      }
    });

    it("a server follows its certificate files while calls continue: none fails, no watch ends", async () => {
      const trust = { ca: server.authority.ca };
      await using worker = worksAt(server, server.grpcs, "stays", { NEBULA_TLS_CA: server.authority.caFile });
      await server.api.reported("stays");
      const load = new Load(server, trust);
      for (const name of ["second", "third"]) {
        const calls = load.calls;
        await server.replace(await server.authority.issue(name));
        for (const port of [server.httpPort, server.grpcPort])
          await eventually(async () => (await handshake(port, trust)).commonName === name, { timeoutMs: 20_000, everyMs: 100 });
        await eventually(() => load.calls > calls + 50);
      }
      assert.deepEqual(await load.end(), []);
      assert.equal(worker.output.match(/connected to a manager/g)?.length, 1);
    });

    it("a server keeps its certificate where the new one is broken", async () => {
      const { commonName } = await handshake(server.grpcPort, { ca: server.authority.ca });
      const next = await server.authority.issue("broken");
      await server.replace({ cert: next.cert.subarray(0, 200), key: next.key });
      await server.program.printed(/those from before stay/);
      await throughout(500, async () => assert.equal((await handshake(server.grpcPort, { ca: server.authority.ca })).commonName, commonName));
      await server.replace(next);
      await eventually(async () => (await handshake(server.httpPort, { ca: server.authority.ca })).commonName === "broken");
    });

    it("open handshakes do not keep a server from stopping", async () => {
      await using other = await TlsServer.start();
      const idle = connectRaw(other.grpcPort);
      const idleToo = connectRaw(other.httpPort);
      await Promise.all([once(idle, "connect"), once(idleToo, "connect")]);
      const started = performance.now();
      assert.equal(await other.program.stop(), 0);
      assert.ok(performance.now() - started < 9000);
      for (const socket of [idle, idleToo]) socket.destroy();
    });
  });

  it("TLS with client certificates refuses every login without one", async () => {
    await using server = await TlsServer.start(async (authority) => {
      const own = await authority.issue("gateway");
      return { NEBULA_TLS_CLIENT_CA: authority.caFile, NEBULA_TLS_CLIENT_CERT: own.certFile, NEBULA_TLS_CLIENT_KEY: own.keyFile };
    });
    const client = await server.authority.issue("client");
    await using other = await TestAuthority.make();
    const foreign = await other.issue("client");
    const trust = { NEBULA_TLS_CA: server.authority.caFile };
    const shown = (issued: typeof client) => ({ ...trust, NEBULA_TLS_CLIENT_CERT: issued.certFile, NEBULA_TLS_CLIENT_KEY: issued.keyFile });
    const api = new Api(`127.0.0.1:${server.grpcPort}`, server.password, { ca: server.authority.ca, pair: client });
    await api.createGroup("pos", []);

    await using refused = worksAt(server, server.grpcs, "without", trust);
    await refused.program.printed(/no connection to a manager/);
    await using worker = worksAt(server, server.https, "with", shown(client));
    await api.reported("with");
    assert.equal(await api.device("without"), undefined);
    api[Symbol.dispose]();

    for (const url of [server.https, server.grpcs]) {
      const inside = await nebulactl(server, url, shown(client));
      assert.equal(inside.code, 0, inside.output);
      for (const env of [trust, shown(foreign)]) {
        const outside = await nebulactl(server, url, env);
        assert.equal(outside.code, 1);
        assert.match(outside.output, /requires a client certificate/);
      }
    }
    assert.ok(worker.output.includes("connected to a manager"));
  });

  it("TLS with optional client certificates accepts a client without one, and none with a wrong one", async () => {
    await using server = await TlsServer.start(async (authority) => ({ NEBULA_TLS_CLIENT_CA: authority.caFile, NEBULA_TLS_CLIENT_AUTH: "optional" }));
    const trust = { NEBULA_TLS_CA: server.authority.caFile };
    await using other = await TestAuthority.make();
    const foreign = await other.issue("client");
    for (const url of [server.https, server.grpcs]) {
      const without = await nebulactl(server, url, trust);
      assert.equal(without.code, 0, without.output);
      const wrong = await nebulactl(server, url, { ...trust, NEBULA_TLS_CLIENT_CERT: foreign.certFile, NEBULA_TLS_CLIENT_KEY: foreign.keyFile });
      assert.equal(wrong.code, 1, wrong.output);
    }
  });

  it("TLS is spoken by a gateway to a manager of another process", async () => {
    await using server = await TlsServer.start(async () => ({ NEBULA_CLUSTER_KEY: "the cluster key of a test" }));
    const port = await freePort();
    await using gateway = new Program(["gateway"], {
      env: {
        NEBULA_HTTP_LISTEN: `127.0.0.1:${port}`,
        NEBULA_METRICS_LISTEN: "off",
        NEBULA_MANAGERS: `grpcs://localhost:${server.grpcPort}`,
        NEBULA_TLS_CA: server.authority.caFile,
        NEBULA_CLUSTER_KEY: "the cluster key of a test",
        NEBULA_DATA: `${server.folder}/gateway`,
      },
    });
    await gateway.printed(/is up/);
    const listed = await nebulactl(server, `http://127.0.0.1:${port}`, {});
    assert.equal(listed.code, 0, listed.output);
  });

  it("a start reports what is wrong with a file", async () => {
    await using authority = await TestAuthority.make();
    const [one, other] = [await authority.issue("one"), await authority.issue("other")];
    await using program = new Program(["manager"], {
      env: { NEBULA_TLS_CERT: one.certFile, NEBULA_TLS_KEY: other.keyFile, NEBULA_DATA: `${one.certFile}.data`, NEBULA_GRPC_LISTEN: "127.0.0.1:0" },
    });
    assert.equal(await program.exit(), 1);
    assert.match(program.output, /NEBULA_TLS_KEY .* is not the key of the certificate in/);
  });
});

function worksAt(server: TlsServer, url: string, deviceId: string, env: Record<string, string>): SimulatedWorker {
  const login = { NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, NEBULA_DEVICE_GROUP: "pos" };
  return new SimulatedWorker({ server: url, deviceId, env: { ...login, ...env } });
}

async function nebulactl(
  server: TlsServer,
  url: string,
  env: Record<string, string>,
  args: readonly string[] = ["apps", "list"],
): Promise<{ code: number | null; output: string }> {
  await using program = new Program(args, {
    file: "cli/nebulactl.js",
    env: { NEBULA_SERVER: url, NEBULA_USER: "admin", NEBULA_PASSWORD: server.password, ...env },
  });
  const code = await program.exit();
  return { code, output: program.output };
}

function connectRaw(port: number) {
  return connectSocket({ host: "127.0.0.1", port }).on("error", () => {});
}

/** The certificate and the protocol of a new connection. */
async function handshake(port: number, trust: { ca: Buffer }): Promise<{ commonName: string; protocol: string | null }> {
  const socket = connect({ host: "127.0.0.1", port, ...trust, ALPNProtocols: ["h2", "http/1.1"] });
  await once(socket, "secureConnect");
  const { subject } = socket.getPeerCertificate();
  const found = { commonName: String(subject.CN), protocol: socket.getProtocol() };
  socket.destroy();
  return found;
}

/** Calls all the time: over a connection that stays and over new ones, by gRPC and by HTTP. */
class Load {
  readonly #server: TlsServer;
  readonly #trust: ClientTls;
  readonly #failures: unknown[] = [];
  readonly #loops: Promise<void>[];
  #ended = false;
  calls = 0;

  constructor(server: TlsServer, trust: ClientTls) {
    this.#server = server;
    this.#trust = trust;
    this.#loops = [
      this.#repeat(async () => void (await server.api.device("stays"))),
      this.#repeat(async () => {
        using api = new Api(`127.0.0.1:${server.grpcPort}`, server.password, trust);
        await api.device("stays");
      }),
      this.#repeat(() => this.#list()),
    ];
  }

  async #repeat(call: () => Promise<void>): Promise<void> {
    while (!this.#ended) {
      try {
        await call();
        this.calls++;
      } catch (error) {
        this.#failures.push(error);
      }
    }
  }

  async #list(): Promise<void> {
    const authorization = `Basic ${Buffer.from(`admin:${this.#server.password}`).toString("base64")}`;
    const options = { method: "POST", agent: false, ca: this.#trust.ca, headers: { authorization, "content-type": "application/json" } } as const;
    const call = request(`${this.#server.https}/nebula.v1.AppService/ListApps`, options).end("{}");
    const [answer] = await once(call, "response");
    const body = await text(answer);
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${body}`);
  }

  /** Stops; answers what failed. */
  async end(): Promise<unknown[]> {
    this.#ended = true;
    await Promise.all(this.#loops);
    return this.#failures;
  }
}
