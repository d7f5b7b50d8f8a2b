import { fileURLToPath } from "node:url";
import { authorizationOf } from "../../common/access/authorization.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { BenchProcess, isReady, NODE_FLAGS } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import { BENCH_ADMIN_PASSWORD } from "../servers/bench-secrets.ts";
import { openManager } from "../servers/open-manager.ts";

const GATEWAY_FILE = fileURLToPath(new URL("../servers/gateway.ts", import.meta.url));
const BARE_FILE = fileURLToPath(new URL("../servers/bare-http.ts", import.meta.url));

const GROUP = "bench";
const APPS = 5;
const USER = { name: "poller", password: "password-of-a-poller", token: "token-of-a-poller-0123456789abcdef" };

/** The login of the poller. */
export const LOGINS = ["admin", "password", "token"] as const;
export type Login = (typeof LOGINS)[number];

/** `/info` under measurement, and beside it a bare server that answers the same bytes; the managers' process is neither's. */
export type V2Servers = AsyncDisposable &
  Readonly<{
    gateway: Readonly<{ port: number; figures(): ProcessFigures }>;
    bare: Readonly<{ port: number; figures(): ProcessFigures }>;
    path: string;
    /** The Authorization header of each login: the configuration's admin, a user of the store by password and by token. */
    authorization: Readonly<Record<Login, string>>;
    /** Size of an answer's body, bytes. */
    bodyBytes: number;
    /** How often the managers' stores were called so far. */
    storeCalls(): Promise<number>;
  }>;

export type V2ServersOptions = Readonly<{ server: Processors; others: Processors; signal: AbortSignal }>;

/** Opens them: the two that are measured on one processor, one at a time under load, the manager on the others. */
export async function openV2Servers({ server, others, signal }: V2ServersOptions): Promise<V2Servers> {
  await using opening = new AsyncDisposableStack();
  const manager = opening.use(await openManager({ processors: others, signal }));
  await fill(manager);
  const started = (name: string, file: string, args: readonly string[]) =>
    opening.use(new BenchProcess({ name, command: [process.execPath, ...NODE_FLAGS, file, ...args], processors: server, signal }));
  const gateway = started("the gateway", GATEWAY_FILE, [String(manager.port)]);
  const { port: gatewayPort } = await gateway.next(isReady);
  const path = `/api/v2/device_groups/${GROUP}/info`;
  const authorization = {
    admin: authorizationOf({ kind: "password", user: "admin", password: BENCH_ADMIN_PASSWORD }),
    password: authorizationOf({ kind: "password", user: USER.name, password: USER.password }),
    token: authorizationOf({ kind: "token", token: USER.token }),
  };
  const answer = await sampleAnswer(`http://127.0.0.1:${gatewayPort}${path}`, authorization.admin, signal);
  const bare = started("the bare server", BARE_FILE, []);
  const { port: barePort } = await bare.ask({ kind: "answer", ...answer }, isReady);
  const opened = opening.move();
  return {
    gateway: { port: gatewayPort, figures: () => gateway.figures() },
    bare: { port: barePort, figures: () => bare.figures() },
    path,
    authorization,
    bodyBytes: answer.body.length,
    storeCalls: () => manager.storeCalls(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** A device_group of a few apps, and a user who may read it. */
async function fill({ channel, call }: Awaited<ReturnType<typeof openManager>>): Promise<void> {
  const apps = Array.from({ length: APPS }, (_, index) => `app-${index + 1}`);
  for (const [index, name] of apps.entries()) {
    const envVars = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`VARIABLE_${at}`, "x".repeat(24)]));
    const app = {
      name,
      dockerImage: `registry.example.com/${name}:1.0`,
      envVars,
      startingPorts: [{ hostPort: 8000 + 10 * index, containerPort: 80 }],
    };
    await channel.unary(AppService.method.createApp, { app }, call);
  }
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: GROUP, apps } }, call);
  await channel.unary(UserService.method.createUser, USER, call);
  const userGroup = { name: "pollers", groupMembers: [USER.name], deviceGroups: { [GROUP]: "ro" } };
  await channel.unary(UserGroupService.method.createUserGroup, { userGroup }, call);
}

/** An answer of the gateway's, as the bare server is to give it: the headers that Node does not write by itself. */
async function sampleAnswer(url: string, authorization: string, signal: AbortSignal): Promise<{ headers: string[]; body: string }> {
  const response = await fetch(url, { headers: { authorization }, signal });
  const body = await response.text();
  const byItself = new Set(["connection", "keep-alive", "date"]);
  return { headers: [...response.headers].filter(([name]) => !byItself.has(name)).flat(), body };
}
