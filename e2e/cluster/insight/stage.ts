import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { openDrivers } from "../../../common/open-drivers.ts";
import type { ReportStore } from "../../../common/storage/report-store.ts";
import { eventually } from "../../../common/testing/eventually.ts";
import { requireStoppableServer } from "../../../common/testing/servers.ts";
import type { TestContainer } from "../../../common/testing/test-container.ts";
import { ApplyService, type ApplyVerdict, type WatchApplyRequestSchema, type WatchApplyResponse } from "../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import { type Device, type DeviceFilterSchema, DeviceService, TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import type { DriftService } from "../../../gen/nebula/v1/drift_pb.ts";
import type { ExplainService } from "../../../gen/nebula/v1/explain_pb.ts";
import type { FleetService } from "../../../gen/nebula/v1/fleet_pb.ts";
import { TargetState } from "../../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../../gen/nebula/v1/shard_pb.ts";
import { Api } from "../../harness/api.ts";
import { Cluster } from "../../harness/cluster.ts";
import type { Member } from "../../harness/cluster-member.ts";
import { inNumbers, recount, type Told, type ToldDevice, ToldFleet } from "./told-fleet.ts";

/** One group of one shard, two that two shards share, and many that a list of one group must not read. */
export const [SHOPS, TILLS, VANS] = ["shops", "tills", "vans"] as const;
const OTHERS = 12;
const SETTLE_MS = 500;
const VERDICT_MS = 120_000;
const CALL_MS = 20_000;
export const WITHIN = { timeoutMs: 60_000, everyMs: 100 };
const { APPLIED } = TargetState;

type Request = MessageInitShape<typeof WatchApplyRequestSchema>;
type Filter = Exclude<MessageInitShape<typeof DeviceFilterSchema>, { $typeName: string }>;

/** The messages of a WatchApply: `messages` grows until the verdict, with which `ended` resolves. */
export type Gathered = Readonly<{ messages: readonly WatchApplyResponse[]; ended: Promise<WatchApplyResponse> }>;

export function appOf(group: string): string {
  return `app-of-${group}`;
}

export function gathered(answers: AsyncIterable<WatchApplyResponse>): Gathered {
  const messages: WatchApplyResponse[] = [];
  const ended = (async () => {
    for await (const message of answers) messages.push(message);
    return messages.at(-1) ?? assert.fail("a stream without a message");
  })();
  ended.catch(() => {}); // it is awaited later
  return { messages, ended };
}

type Parts = Pick<InsightStage, "cluster" | "redis" | "fleet" | "store" | "headers" | "shops" | "tills" | "vans"> &
  Readonly<{ apis: ReadonlyMap<Member, Api>; groupRevisions: ReadonlyMap<string, bigint>; opened: AsyncDisposableStack }>;

/** Two shards, a reporter and a gateway on servers that faults may stop, and devices of three groups that report what a test says. */
export class InsightStage implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly redis: TestContainer;
  readonly fleet: ToldFleet;
  /** The store itself, past the API. */
  readonly store: ReportStore;
  readonly headers: Readonly<Record<string, string>>;
  readonly shops: readonly ToldDevice[];
  readonly tills: readonly ToldDevice[];
  readonly vans: readonly ToldDevice[];
  readonly #apis: ReadonlyMap<Member, Api>;
  readonly #groupRevisions: ReadonlyMap<string, bigint>;
  readonly #opened: AsyncDisposableStack;

  private constructor(parts: Parts) {
    this.cluster = parts.cluster;
    this.redis = parts.redis;
    this.fleet = parts.fleet;
    this.store = parts.store;
    this.headers = parts.headers;
    this.shops = parts.shops;
    this.tills = parts.tills;
    this.vans = parts.vans;
    this.#apis = parts.apis;
    this.#groupRevisions = parts.groupRevisions;
    this.#opened = parts.opened;
  }

  /** Starts a stage; resolves when all its devices are served. Skips the suite without a Docker Engine. */
  static async start(context: Mocha.Context): Promise<InsightStage> {
    const [cassandra, stoppable, kafka] = [
      await requireStoppableServer(context, "cassandra"),
      await requireStoppableServer(context, "redis"),
      await requireStoppableServer(context, "kafka"),
    ];
    await using opening = new AsyncDisposableStack();
    const cluster = opening.use(await Cluster.start({ servers: { cassandra, redis: stoppable, kafka }, env: { NEBULA_DRAIN: "10s" } }));
    const apis = new Map(cluster.shards.map((shard) => [shard, opening.use(new Api(shard.address, cluster.password))]));
    const [api] = apis.values();
    if (api === undefined) throw new Error("the cluster lacks a shard");
    const settings = { ...cluster.backends, reports: cluster.backends.store, dataDir: "", cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    const { reportStore: store } = opening.use(await openDrivers(["reportStore"], { settings, clock: systemClock, log: silentLog }));
    const groupRevisions = new Map<string, bigint>();
    for (const [name, spread] of [
      [SHOPS, 1],
      [TILLS, 2],
      [VANS, 2],
    ] as const) {
      await api.createApp({ name: appOf(name), dockerImage: "busybox:1" });
      const deviceGroup = { name, apps: [appOf(name)], spread };
      const call = { headers: api.headers, timeoutMs: CALL_MS };
      const answer = await api.channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup }, call);
      groupRevisions.set(name, answer.deviceGroup?.revision ?? 0n);
    }
    await knowEachOther(cluster);
    const fleet = opening.use(new ToldFleet(cluster));
    const [shops, tills, vans] = [fleet.add(SHOPS, 6), fleet.add(TILLS, 8), fleet.add(VANS, 4)];
    await fleet.served(fleet.devices);
    const others = { app: appOf(SHOPS), revision: 1n, appliedRevision: 1n, groupRevision: 1n, state: APPLIED };
    await Promise.all(Array.from({ length: OTHERS }, (_, i) => fleet.tell({ id: `other-${i}`, deviceGroup: `others-${i}` }, others)));
    const { headers } = api;
    const opened = opening.move();
    return new InsightStage({ cluster, redis: stoppable.container, fleet, store, headers, shops, tills, vans, apis, groupRevisions, opened });
  }

  /** Options of a call. */
  call(): Readonly<{ headers: Readonly<Record<string, string>>; timeoutMs: number }> {
    return { headers: this.headers, timeoutMs: CALL_MS };
  }

  shard(index: number): Member {
    return this.cluster.shards[index] ?? assert.fail("the cluster lacks a shard");
  }

  other(than: Member): Member {
    return this.cluster.shards.find((each) => each !== than) ?? assert.fail("there is no other shard");
  }

  apiOf(member: Member): Api {
    return this.#apis.get(member) ?? assert.fail("there is no such shard");
  }

  gateway<S extends typeof ApplyService | typeof DeviceService | typeof DriftService | typeof ExplainService | typeof FleetService>(
    service: S,
  ): Client<S> {
    return createClient(service, createConnectTransport({ baseUrl: `http://${this.cluster.gateway.address}`, httpVersion: "1.1" }));
  }

  /** The report of a device of a group that has an app's revision, and had applied it. */
  told(group: string, revision: bigint): Omit<Told, "state"> {
    return { app: appOf(group), revision, appliedRevision: revision, groupRevision: this.#groupRevisions.get(group) ?? 0n };
  }

  async ownerOf(group: string): Promise<Member> {
    const { shards } = this.cluster;
    const api = this.apiOf(shards.find(({ program }) => !program.ended) ?? this.shard(0));
    const map = await api.channel.unary(ShardService.method.getShardMap, { deviceGroup: group, deviceId: "" }, this.call());
    return shards.find(({ address }) => address === map.shards[0]?.address) ?? assert.fail("the group has no shard");
  }

  /** Changes the app of a group; answers its revision, and what a client asks to follow it. */
  async change(group: string, by: Member): Promise<Readonly<{ revision: bigint; request: Request }>> {
    const { revision } = await this.apiOf(by).restartApp(appOf(group));
    const targets = [{ kind: TargetKind.APP, name: appOf(group), revision }];
    return { revision, request: { targets, settleMs: SETTLE_MS, timeoutMs: VERDICT_MS } };
  }

  /** Follows a change at a shard. */
  follow(at: Member, request: Request): Gathered {
    return gathered(this.apiOf(at).channel.serverStream(ApplyService.method.watchApply, request, { headers: this.headers }));
  }

  async assertVerdict(last: WatchApplyResponse, verdict: ApplyVerdict, devices: readonly ToldDevice[], revision: bigint): Promise<void> {
    assert.equal(last.verdict, verdict);
    assert.deepEqual(inNumbers(last.counts), await recount(this.store, devices, { app: appOf(devices[0]?.deviceGroup ?? ""), revision }));
  }

  async listed(at: Member, deviceGroup: string, filter?: Filter): Promise<readonly Device[]> {
    const request = { deviceGroup, pageSize: 1000, summariesOnly: filter !== undefined, ...(filter === undefined ? {} : { filter }) };
    return (await this.apiOf(at).channel.unary(DeviceService.method.listDevices, request, this.call())).devices;
  }

  /** All devices of a group report that they run what it should. */
  async allApplied(devices: readonly ToldDevice[], revision: bigint): Promise<void> {
    await Promise.all(devices.map((device) => this.fleet.tell(device, { ...this.told(device.deviceGroup, revision), state: APPLIED })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }
}

/** Resolves once both shards know of each other. */
export async function knowEachOther({ shards }: Cluster): Promise<void> {
  await eventually(async () => assert.deepEqual(await Promise.all(shards.map((each) => each.metric("nebula_members"))), [2, 2]), WITHIN);
}
