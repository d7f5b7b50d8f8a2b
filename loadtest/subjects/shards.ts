import { randomBytes } from "node:crypto";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { membersAre, type NebulaProgram, startProgram } from "../servers/nebula-program.ts";
import { createPushedApp } from "./pushed-app.ts";
import type { Subject, SubjectOptions } from "./subject.ts";

/** Settings by which managers share a Cassandra and a Redis. */
export type Backends = Readonly<{ NEBULA_STORE: string; NEBULA_REPORTS: string; NEBULA_REDIS: string }>;

/** `nebula server` as it comes, with embedded drivers alone. */
export async function openEmbedded({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const server = opening.use(await startProgram({ part: "server", processors, signal }));
  opening.defer(() => ended(server));
  const app = await createPushedApp(server, payloadBytes);
  const opened = opening.move();
  return {
    name: "embedded",
    figures: () => server.figures(),
    target: () => app.target(server.port),
    push: () => app.push(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Two shards. Devices are at the one that owns their group, the API is called at the other; the figures are of both together. */
export async function openShards({ payloadBytes, processors, signal }: SubjectOptions, backends: Backends, group: string): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const token = randomBytes(32).toString("hex");
  const start = async (name: string) => {
    const env = { ...backends, NEBULA_SHARD: name, NEBULA_DRAIN: "0s" };
    const shard = opening.use(await startProgram({ part: "manager", env, token, processors, signal }));
    opening.defer(() => ended(shard)); // its lease ends with it
    return shard;
  };
  const shards = await Promise.all([start("watch-a"), start("watch-b")]);
  const addresses = shards.map(({ address }) => address);
  for (const shard of shards) await membersAre(shard, addresses, signal);
  const owner = await ownerOf(group, shards);
  const other = shards.find((shard) => shard !== owner) ?? owner;
  const app = await createPushedApp(other, payloadBytes, group);
  const opened = opening.move();
  return {
    name: "shards",
    figures() {
      const both = shards.map((shard) => shard.figures());
      const sum = (figure: "rssBytes" | "cpuMs") => both.reduce((total, of) => total + of[figure], 0);
      return { rssBytes: sum("rssBytes"), cpuMs: sum("cpuMs") };
    },
    target: () => app.target(owner.port),
    push: () => app.push(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Stops a program that may have ended already: then what the bench was waiting for says so. */
async function ended(program: NebulaProgram): Promise<void> {
  await program.stop().catch(() => {});
}

async function ownerOf(deviceGroup: string, shards: readonly NebulaProgram[]): Promise<NebulaProgram> {
  const [asked] = shards;
  if (asked === undefined) throw new NebulaError("internal", "there is no shard to ask");
  const map = await asked.channel.unary(ShardService.method.getShardMap, { deviceGroup, deviceId: "any" }, asked.call);
  const owner = shards.find(({ address }) => address === map.shards[0]?.address);
  if (owner === undefined) throw new NebulaError("internal", `no shard of this bench owns ${deviceGroup}`);
  return owner;
}
