import { randomBytes } from "node:crypto";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { ownersOf } from "../../common/membership/rendezvous.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { RATE } from "../../manager/watch/hand-over.ts";
import { WATCH_TIMING } from "../../worker/connection/moves.ts";
import { sharedNow } from "../client/fleet-protocol.ts";
import { quantile } from "../measure/quantiles.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import type { Processors } from "../processes/processors.ts";
import { membersAre, type NebulaProgram, startProgram } from "../servers/nebula-program.ts";
import type { Backends } from "../subjects/shards.ts";
import type { Moves } from "./moving-devices.ts";
import { MovingFleet } from "./moving-fleet.ts";

export type HandOverOptions = Readonly<{
  backends: Backends;
  devices: number;
  runs: number;
  serverProcessors: Processors;
  fleetProcessors: Processors;
  /** How long devices have had their watch before they are moved, milliseconds; WATCH_TIMING.stableMs unless given. */
  steadyMs?: number;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** All devices move, at once or in turn. Times are milliseconds. */
export type HandOverFigures = Readonly<{
  kind: "join" | "drain";
  /** From the first watch that ended until the last device had one again. */
  tookMs: number;
  /** The same at the pace that hand-over promises. */
  pacedMs: number;
  /** From the start of the program that joins, or from the signal to the one that drains. */
  wholeMs: number;
  /** Without a watch, of 99 % of the devices and of the slowest. */
  gapP99Ms: number;
  gapMaxMs: number;
  mostRedirects: number;
  stolenShare: number;
}>;

const GROUPS = 20;
const [FIRST, SECOND, NEWCOMER] = ["move-a", "move-b", "move-c"] as const;

/** Two shards; a third one joins and gets every device, then drains and gives all of them back. */
export async function runHandOvers(options: HandOverOptions): Promise<HandOverFigures[]> {
  const { backends, devices, runs, serverProcessors, fleetProcessors, steadyMs = WATCH_TIMING.stableMs, signal, say } = options;
  await using stack = new AsyncDisposableStack();
  const token = randomBytes(32).toString("hex");
  const start = async (name: string, port: number) =>
    stack.use(await startProgram({ part: "manager", env: { ...backends, NEBULA_SHARD: name }, port, token, processors: serverProcessors, signal }));
  const [first, second] = await Promise.all([start(FIRST, await freePort()), start(SECOND, await freePort())]);
  const before = [first.address, second.address];
  for (const shard of [first, second]) await membersAre(shard, before, signal);
  const groups = groupsToMove(devices);
  await createGroups(first, groups);
  const fleet = stack.use(new MovingFleet({ processors: fleetProcessors, signal }));
  await fleet.start({ manager: first.address, headers: { authorization: `Bearer ${token}` }, groups });
  const measured: HandOverFigures[] = [];
  const measure = async <T>(kind: HandOverFigures["kind"], to: readonly string[], act: () => Promise<T>): Promise<T> => {
    await fleet.steady(steadyMs);
    const stolen = new StolenTime();
    const began = sharedNow();
    const { moves, done } = await stolen.during(() => fleet.move(to, act));
    const figures = figuresOf(kind, moves, { devices, began, stolenShare: stolen.share });
    measured.push(figures);
    say(
      `${kind}: ${devices} devices moved in ${(figures.tookMs / 1000).toFixed(1)} s, 99 % without a watch for at most ${figures.gapP99Ms.toFixed(0)} ms`,
    );
    return done;
  };
  for (let run = 0; run < runs; run++) {
    const port = await freePort();
    const newcomer = await measure("join", [`127.0.0.1:${port}`], () => start(NEWCOMER, port));
    await measure("drain", before, () => newcomer.stop());
  }
  return measured;
}

function figuresOf(
  kind: HandOverFigures["kind"],
  { firstLostAt, lastServedAt, gapsMs, mostRedirects, flaws }: Moves,
  { devices, began, stolenShare }: { devices: number; began: number; stolenShare: number },
): HandOverFigures {
  if (flaws.length > 0) throw new NebulaError("unavailable", `${kind}: watches ended otherwise than by a redirect: ${flaws.join("; ")}`);
  return {
    kind,
    tookMs: lastServedAt - firstLostAt,
    pacedMs: (devices * 1000) / RATE,
    wholeMs: lastServedAt - began,
    gapP99Ms: quantile(gapsMs, 0.99),
    gapMaxMs: quantile(gapsMs, 1),
    mostRedirects,
    stolenShare,
  };
}

/** Groups that the first two shards own in equal parts, and the third one, once it has joined, all of them. */
function groupsToMove(devices: number): { name: string; devices: number }[] {
  const member = (name: string) => ({ name, address: name, boot: name });
  const [before, after] = [[FIRST, SECOND].map(member), [FIRST, SECOND, NEWCOMER].map(member)];
  const ownerAmong = (group: string, members: typeof before) => ownersOf(group, members, 1)[0]?.name;
  const groups: { name: string; devices: number }[] = [];
  for (let number = 0; groups.length < GROUPS; number++) {
    const name = `move-${number}`;
    const wanted = groups.length % 2 === 0 ? FIRST : SECOND;
    if (ownerAmong(name, before) !== wanted || ownerAmong(name, after) !== NEWCOMER) continue;
    const index = groups.length;
    groups.push({ name, devices: Math.floor((devices * (index + 1)) / GROUPS) - Math.floor((devices * index) / GROUPS) });
  }
  return groups;
}

async function createGroups({ channel, call }: NebulaProgram, groups: readonly { name: string }[]): Promise<void> {
  for (const { name } of groups) await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name } }, call);
}
