import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { DOCKER_SOCKET } from "../../common/testing/require-docker.ts";

/** A real registry that wants a login (Debian's docker-registry and htpasswd), on loopback. */
export class Registry implements AsyncDisposable {
  static readonly user = "till";
  static readonly password = "s3cret-of-the-test";
  readonly host: string;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(port: number) {
    this.host = `127.0.0.1:${port}`;
    this.#folder = mkdtempSync(join(tmpdir(), "nebula-e2e-registry-"));
    const users = join(this.#folder, "htpasswd");
    writeFileSync(users, spawnSync("htpasswd", ["-Bbn", Registry.user, Registry.password]).stdout);
    const config = join(this.#folder, "config.yml");
    writeFileSync(
      config,
      `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${join(this.#folder, "data")} } }
http: { addr: "127.0.0.1:${port}" }
auth: { htpasswd: { realm: test, path: ${users} } }
`,
    );
    this.#process = endWithTests(spawn("docker-registry", ["serve", config], { stdio: "ignore" }));
  }

  /** Skips the test where docker-registry or htpasswd is missing; under CI=true that is a failure. */
  static async start(context: Mocha.Context): Promise<Registry> {
    const missing = ["docker-registry", "htpasswd"].filter((command) => spawnSync(command, ["--version"]).error !== undefined);
    if (missing.length > 0) {
      if (process.env.CI === "true") throw new Error(`${missing.join(" and ")} missing (Debian: docker-registry, apache2-utils)`);
      context.skip();
    }
    const registry = new Registry(await freePort());
    await eventually(async () => (await fetch(`http://${registry.host}/v2/`)).status === 401, { timeoutMs: 10_000 });
    return registry;
  }

  /** Pushes a local image of an engine under this repository and tag, and removes that tag from the engine; answers the reference. */
  async push(local: string, repositoryAndTag: string, docker = new Docker({ socketPath: DOCKER_SOCKET })): Promise<string> {
    const reference = `${this.host}/${repositoryAndTag}`;
    const colon = reference.lastIndexOf(":");
    await docker.getImage(local).tag({ repo: reference.slice(0, colon), tag: reference.slice(colon + 1) });
    const stream = await docker
      .getImage(reference)
      .push({ authconfig: { username: Registry.user, password: Registry.password, serveraddress: this.host } });
    await new Promise<void>((resolve, reject) => {
      docker.modem.followProgress(stream, (error: Error | null, lines: { error?: string }[]) => {
        const failed = error?.message ?? lines.find((line) => line.error !== undefined)?.error;
        if (failed === undefined) resolve();
        else reject(new Error(failed));
      });
    });
    await docker.getImage(reference).remove({ force: true });
    return reference;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null) {
      this.#process.kill("SIGKILL");
      await once(this.#process, "exit");
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A registry that accepts connections and never answers. */
export class SilentRegistry implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly host: string;

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
    });
  }

  static async start(): Promise<SilentRegistry> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SilentRegistry(server);
  }

  /** Connections that wait for an answer now. */
  get waiting(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** A registry of one image for the machine's architecture, whose only layer never arrives as a whole. */
export class StallingRegistry implements AsyncDisposable {
  readonly #server: HttpServer;
  readonly host: string;
  /** How often a pull asked for the manifest, and for the layer. */
  manifestsAsked = 0;
  layersAsked = 0;

  private constructor(server: HttpServer) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const layer = { size: 1_000_000, digest: digestOf("a layer that is never sent") };
    const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf("its content")] } });
    const type = "application/vnd.docker.distribution.manifest.v2+json";
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: { mediaType: "application/vnd.docker.container.image.v1+json", size: config.length, digest: digestOf(config) },
      layers: [{ mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", ...layer }],
    });
    server.on("request", ({ url = "", method }, response) => {
      if (url.includes("/manifests/")) {
        this.manifestsAsked++;
        response.writeHead(200, { "content-type": type, "content-length": manifest.length, "docker-content-digest": digestOf(manifest) });
        response.end(method === "HEAD" ? undefined : manifest);
      } else if (url.endsWith(digestOf(config))) {
        response.writeHead(200, { "content-length": config.length }).end(config);
      } else if (url.endsWith(layer.digest)) {
        response.writeHead(200, { "content-length": layer.size }).write(Buffer.alloc(layer.size / 10));
        this.layersAsked++;
      } else {
        response.writeHead(url === "/v2/" ? 200 : 404).end();
      }
    });
  }

  static async start(): Promise<StallingRegistry> {
    const server = createHttpServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new StallingRegistry(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

function digestOf(content: string): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
