import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isOnCluster, type TestServers } from "../../common/testing/backends.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { namedServers } from "../../common/testing/servers.ts";
import { Cluster } from "./cluster.ts";
import { Program } from "./program.ts";

export type ServerOptions = Readonly<{
  env?: Readonly<Record<string, string>>;
  dataDir?: string;
  /** The `nebula` of another tree, as a server of one process in any run. */
  file?: string;
  /** Has the server be a cluster on these: two managers, a reporter and a gateway. Without them the run decides. */
  servers?: TestServers;
  /** How many managers a cluster has. */
  shards?: number;
}>;

/** The processes that a server of the tests consists of: of `nebula server`, or of a cluster. */
export interface ServerProcesses extends AsyncDisposable {
  readonly dataDir: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  /** gRPC of each manager. */
  readonly grpcPorts: readonly number[];
  /** The one with the manager, which runs or ran last. */
  readonly program: Program;
  /** Resolves when the server can be used; answers the password of the local admin. */
  ready(): Promise<string>;
  /** Stops all as an operator would; answers the exit code, the first that is not 0. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
  /** Starts all again, on the same ports and data; a server of one process as this tree's `nebula`. */
  launch(): void;
}

export async function startProcesses(options: ServerOptions): Promise<ServerProcesses> {
  if (options.servers !== undefined) return await startCluster(options.servers, options);
  return isOnCluster() && options.file === undefined ? await startCluster(namedServers(), options) : await startEmbedded(options);
}

async function startEmbedded({ env = {}, dataDir: given, file }: ServerOptions): Promise<ServerProcesses> {
  const dataDir = given ?? (await mkdtemp(join(tmpdir(), "nebula-e2e-server-")));
  const [httpPort, grpcPort] = [await freePort(), await freePort()];
  const launched = (of: Readonly<{ file?: string }>) =>
    new Program(["server"], {
      ...of,
      env: {
        NEBULA_DATA: dataDir,
        NEBULA_HTTP_LISTEN: `127.0.0.1:${httpPort}`,
        NEBULA_GRPC_LISTEN: `127.0.0.1:${grpcPort}`,
        NEBULA_METRICS_LISTEN: "off",
        ...env,
      },
    });
  let program = launched(file === undefined ? {} : { file });
  return {
    dataDir,
    httpPort,
    grpcPort,
    grpcPorts: [grpcPort],
    get program() {
      return program;
    },
    async ready() {
      const now = program;
      const isHealthy = async () => (await fetch(`http://127.0.0.1:${httpPort}/healthz`)).ok;
      await eventually(async () => now.ended || (await isHealthy()), { timeoutMs: 60_000, everyMs: 50 });
      if (now.ended) throw new Error(`the server ended:\n${now.output}`);
      return env.NEBULA_ADMIN_PASSWORD ?? (await readFile(join(dataDir, "admin-password"), "utf8")).trim();
    },
    stop: () => program.stop(),
    kill: () => program.kill(),
    launch() {
      program = launched({});
    },
    async [Symbol.asyncDispose]() {
      await program.kill();
      if (given === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Its gateway is its HTTP side; its gRPC side is its last manager, so that what HTTP wrote on one is read on another. */
async function startCluster(servers: TestServers, { env = {}, dataDir, shards = 2 }: ServerOptions): Promise<ServerProcesses> {
  if (dataDir !== undefined) throw new Error("a cluster keeps nothing in a data folder");
  const cluster = await Cluster.start({ servers, env, shards });
  const shard = cluster.shards.at(-1);
  if (shard === undefined) throw new Error("a cluster without a shard");
  return {
    get dataDir(): string {
      throw new Error("a cluster keeps nothing in a data folder");
    },
    httpPort: cluster.gateway.port,
    grpcPort: shard.port,
    grpcPorts: cluster.shards.map(({ port }) => port),
    get program() {
      return shard.program;
    },
    async ready() {
      await Promise.all(cluster.members.map((member) => member.ready()));
      return env.NEBULA_ADMIN_PASSWORD ?? cluster.password;
    },
    async stop() {
      const codes = await Promise.all(cluster.members.map(({ program }) => program.stop()));
      return codes.find((code) => code !== 0) ?? 0;
    },
    async kill() {
      await Promise.all(cluster.members.map(({ program }) => program.kill()));
    },
    launch() {
      for (const member of cluster.members) member.launch();
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}
