import { strict as assert } from "node:assert";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { openDrivers } from "../../common/open-drivers.ts";
import type { ReportStore } from "../../common/storage/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireStoppableServer } from "../../common/testing/servers.ts";
import type { TestContainer } from "../../common/testing/test-container.ts";
import { ApplyService, ApplyVerdict, DeviceStanding, type WatchApplyRequestSchema, type WatchApplyResponse } from "../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import {
  ConnectionState,
  type Device,
  type DeviceCounts,
  type DeviceFilterSchema,
  DeviceService,
  TargetKind,
} from "../../gen/nebula/v1/device_pb.ts";
import { DriftService, type GroupDrift } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService, StuckAt } from "../../gen/nebula/v1/explain_pb.ts";
import { type FleetOverview, FleetService, type GroupOverview } from "../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { Api } from "../harness/api.ts";
import { Cluster } from "../harness/cluster.ts";
import type { Member } from "../harness/cluster-member.ts";
import { inNumbers, recount, type Told, type ToldDevice, ToldFleet } from "./told-fleet.ts";

/** One group of one shard, two that two shards share, and many that a list of one group must not read. */
const [SHOPS, TILLS, VANS] = ["shops", "tills", "vans"];
const OTHERS = 12;
/** Partitions of a group in each of the tables of summaries and of presence. */
const PARTITIONS = 16;
const SETTLE_MS = 500;
const VERDICT_MS = 120_000;
const WITHIN = { timeoutMs: 60_000, everyMs: 100 };
const { APPLIED, FAILED, WORKING } = TargetState;

type Request = MessageInitShape<typeof WatchApplyRequestSchema>;
type Filter = Exclude<MessageInitShape<typeof DeviceFilterSchema>, { $typeName: string }>;

describe("counts, filters, drift and WatchApply on Cassandra, Redis and Kafka", function () {
  this.timeout(240_000);
  const opened = new AsyncDisposableStack();
  let cluster: Cluster;
  let redis: TestContainer;
  let fleet: ToldFleet;
  let store: ReportStore;
  let headers: Readonly<Record<string, string>>;
  let shops: readonly ToldDevice[];
  let tills: readonly ToldDevice[];
  let vans: readonly ToldDevice[];
  const apis = new Map<Member, Api>();
  const groupRevisions = new Map<string, bigint>();

  before(async function () {
    const [cassandra, stoppable, kafka] = [
      await requireStoppableServer(this, "cassandra"),
      await requireStoppableServer(this, "redis"),
      await requireStoppableServer(this, "kafka"),
    ];
    redis = stoppable.container;
    cluster = opened.use(await Cluster.start({ servers: { cassandra, redis: stoppable, kafka }, env: { NEBULA_DRAIN: "10s" } }));
    for (const shard of cluster.shards) apis.set(shard, opened.use(new Api(shard.address, cluster.password)));
    headers = apiOf(shard(0)).headers;
    const settings = { ...cluster.backends, reports: cluster.backends.store, dataDir: "", cacheTimeMs: 10_000, reportTtlMs: 26 * 3_600_000 };
    ({ reportStore: store } = opened.use(await openDrivers(["reportStore"], { settings, clock: systemClock, log: silentLog })));
    for (const [name, spread] of [
      [SHOPS, 1],
      [TILLS, 2],
      [VANS, 2],
    ] as const) {
      await apiOf(shard(0)).createApp({ name: appOf(name), dockerImage: "busybox:1" });
      const deviceGroup = { name, apps: [appOf(name)], spread };
      const answer = await apiOf(shard(0)).channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup }, call());
      groupRevisions.set(name, answer.deviceGroup?.revision ?? 0n);
    }
    await eventually(async () => assert.deepEqual(await Promise.all(cluster.shards.map((each) => each.metric("nebula_members"))), [2, 2]), WITHIN);
    fleet = opened.use(new ToldFleet(cluster));
    shops = fleet.add(SHOPS, 6);
    tills = fleet.add(TILLS, 8);
    vans = fleet.add(VANS, 4);
    await fleet.served(fleet.devices);
    await Promise.all(
      Array.from({ length: OTHERS }, (_, i) =>
        fleet.tell({ id: `other-${i}`, deviceGroup: `others-${i}` }, { ...told(SHOPS, 1n), groupRevision: 1n, state: APPLIED }),
      ),
    );
  });
  after(() => opened.disposeAsync());

  const call = () => ({ headers, timeoutMs: 20_000 });
  const shard = (index: number) => cluster.shards[index] ?? assert.fail("the cluster lacks a shard");
  const other = (than: Member) => cluster.shards.find((each) => each !== than) ?? assert.fail("there is no other shard");
  const apiOf = (member: Member) => apis.get(member) ?? assert.fail("there is no such shard");
  const appOf = (group: string) => `app-of-${group}`;
  const gateway = <S extends typeof ApplyService | typeof DeviceService | typeof DriftService | typeof ExplainService | typeof FleetService>(
    service: S,
  ): Client<S> => createClient(service, createConnectTransport({ baseUrl: `http://${cluster.gateway.address}`, httpVersion: "1.1" }));

  /** What a device of a group says that has an app's revision, and had applied it. */
  function told(group: string, revision: bigint): Omit<Told, "state"> {
    return { app: appOf(group), revision, appliedRevision: revision, groupRevision: groupRevisions.get(group) ?? 0n };
  }

  async function ownerOf(group: string): Promise<Member> {
    const { shards } = await apiOf(cluster.shards.find(({ program }) => !program.ended) ?? shard(0)).channel.unary(
      ShardService.method.getShardMap,
      { deviceGroup: group, deviceId: "" },
      call(),
    );
    return cluster.shards.find(({ address }) => address === shards[0]?.address) ?? assert.fail("the group has no shard");
  }

  /** Changes the app of a group; answers its revision, and what a client asks to follow it. */
  async function change(group: string, by: Member): Promise<Readonly<{ revision: bigint; request: Request }>> {
    const { revision } = await apiOf(by).restartApp(appOf(group));
    const targets = [{ kind: TargetKind.APP, name: appOf(group), revision }];
    return { revision, request: { targets, settleMs: SETTLE_MS, timeoutMs: VERDICT_MS } };
  }

  /** Follows a change at a shard; `messages` grows until the verdict, with which `ended` resolves. */
  function follow(at: Member, request: Request) {
    return gathered(apiOf(at).channel.serverStream(ApplyService.method.watchApply, request, { headers }));
  }

  function gathered(answers: AsyncIterable<WatchApplyResponse>) {
    const messages: WatchApplyResponse[] = [];
    const ended = (async () => {
      for await (const message of answers) messages.push(message);
      return messages.at(-1) ?? assert.fail("a stream without a message");
    })();
    ended.catch(() => {}); // it is awaited later
    return { messages, ended };
  }

  async function assertVerdict(last: WatchApplyResponse, verdict: ApplyVerdict, devices: readonly ToldDevice[], revision: bigint): Promise<void> {
    assert.equal(last.verdict, verdict);
    assert.deepEqual(inNumbers(last.counts), await recount(store, devices, { app: appOf(devices[0]?.deviceGroup ?? ""), revision }));
  }

  async function listed(at: Member, deviceGroup: string, filter?: Filter): Promise<readonly Device[]> {
    const request = { deviceGroup, pageSize: 1000, summariesOnly: filter !== undefined, ...(filter === undefined ? {} : { filter }) };
    return (await apiOf(at).channel.unary(DeviceService.method.listDevices, request, call())).devices;
  }

  /** All devices of a group report that they run what it should. */
  async function allApplied(devices: readonly ToldDevice[], revision: bigint): Promise<void> {
    await Promise.all(devices.map((device) => fleet.tell(device, { ...told(device.deviceGroup, revision), state: APPLIED })));
  }

  it("WatchApply at a shard that does not own the group: the verdict equals a recount from the store", async () => {
    const owner = await ownerOf(SHOPS);
    await fleet.served(shops, owner);
    const [first, second, third, ...rest] = shops;
    if (first === undefined || second === undefined || third === undefined) throw new Error("there are no three devices");
    const { revision, request } = await change(SHOPS, owner);
    const { messages, ended } = follow(other(owner), request);
    await eventually(() => inNumbers(messages.at(-1)?.counts).waiting === shops.length, WITHIN);
    await fleet.tell(first, { ...told(SHOPS, revision), appliedRevision: 0n, state: FAILED, code: FailureCode.PULL_NOT_FOUND });
    await fleet.tell(second, { ...told(SHOPS, revision), appliedRevision: 0n, state: WORKING });
    await allApplied(rest, revision);
    await third.leave();
    await eventually(() => {
      const { failed, working, applied, offline, waiting } = inNumbers(messages.at(-1)?.counts);
      assert.deepEqual({ failed, working, applied, offline, waiting }, { failed: 1, working: 1, applied: rest.length, offline: 1, waiting: 0 });
    }, WITHIN);
    await allApplied([second], revision);
    const last = await ended;
    await assertVerdict(last, ApplyVerdict.FAILED, shops, revision);
    assert.deepEqual(
      last.failures.map(({ failureCode, devices }) => [failureCode, devices]),
      [[FailureCode.PULL_NOT_FOUND, 1n]],
    );
    const named = messages.flatMap(({ changed }) => changed).filter(({ standing }) => standing === DeviceStanding.FAILED);
    assert.deepEqual(
      named.map(({ deviceId, reason }) => [deviceId, reason]),
      [[first.id, "as the test says"]],
    );
  });

  it("CountDevices and WatchDevices through the gateway, and ListDevices at each shard, agree", async () => {
    const numbersOf = (devices: readonly Device[]) => ({
      devices: BigInt(devices.length),
      applied: BigInt(devices.filter(({ summary }) => summary?.state === APPLIED).length),
      failed: BigInt(devices.filter(({ summary }) => summary?.state === FAILED).length),
      online: BigInt(devices.filter(({ connection }) => connection?.state === ConnectionState.ONLINE).length),
    });
    const pick = ({ devices, applied, failed, online }: DeviceCounts) => ({ devices, applied, failed, online });
    const brief = (devices: Iterable<Device>) =>
      [...devices].map(({ deviceId, connection, summary }) => [deviceId, connection?.state, connection?.shard, summary?.seq]).sort();
    const rows = await store.statuses(shops.map(({ id }) => id));
    const watched = new Map<string, Device>();
    let counts: DeviceCounts | undefined;
    const end = new AbortController();
    for await (const message of gateway(DeviceService).watchDevices({ deviceGroups: [SHOPS] }, { headers, signal: end.signal })) {
      for (const device of message.devices) watched.set(device.deviceId, device);
      counts = message.counts[0] ?? counts;
      if (message.complete) break;
    }
    end.abort();
    const counted = (await gateway(DeviceService).countDevices({ deviceGroup: SHOPS }, { headers })).deviceGroups[0];
    if (counts === undefined || counted === undefined) throw new Error("nothing was counted");
    for (const at of cluster.shards) {
      const list = await listed(at, SHOPS, {});
      assert.deepEqual(brief(list), brief(watched.values()), at.name);
      assert.deepEqual([pick(counts), pick(counted)], [numbersOf(list), numbersOf(list)], at.name);
      const atShard = await apiOf(at).channel.unary(DeviceService.method.countDevices, { deviceGroup: SHOPS }, call());
      assert.deepEqual(atShard.deviceGroups.map(pick), [numbersOf(list)], at.name);
      for (const { deviceId, summary } of list) assert.equal(summary?.seq, rows.get(deviceId)?.device.report?.seq);
    }
    assert.deepEqual(pick(counts), {
      devices: BigInt(shops.length),
      applied: BigInt(shops.length - 2),
      failed: 1n,
      online: BigInt(shops.length - 1),
    });
  });

  it("a filtered list reads the partitions of its group, and no body that it does not answer", async () => {
    const at = other(await ownerOf(SHOPS));
    const read = (table: string) => at.metric("nebula_store_request_seconds_count", { table, kind: "read" });
    const tables = ["device_summary", "presence", "presence_of_device", "device", "report"];
    const costOf = async (work: () => Promise<unknown>) => {
      const before = await Promise.all(tables.map(read));
      await work();
      const after = await Promise.all(tables.map(read));
      return new Map(tables.map((table, i) => [table, (after[i] ?? 0) - (before[i] ?? 0)]));
    };
    let found: readonly Device[] = [];
    // a group that nobody looked at: all that is known of it is read; what else the shard reads in that time is of other groups, and less than a scan
    for (const group of ["others-0", SHOPS]) {
      const cost = await costOf(async () => {
        found = await listed(at, group, { failing: true });
      });
      const of = (table: string) => cost.get(table) ?? 0;
      const told = JSON.stringify([...cost]);
      const least = group === SHOPS ? 0 : PARTITIONS; // a view that others read is not read again
      assert.ok(of("device_summary") >= least && of("device_summary") < 3 * PARTITIONS, `${group}: ${told}`);
      assert.ok(of("presence") < 3 * PARTITIONS, `${group}: ${told}`);
      assert.deepEqual([of("device"), of("report")], [0, 0], `${group}: ${told}`);
      assert.ok(of("presence_of_device") <= shops.length, `${group}: ${told}`); // of single devices, never of a group
    }
    assert.deepEqual(
      found.map(({ deviceId }) => deviceId),
      [shops[0]?.id],
    );
  });

  it("drift of devices on two shards is the same at both", async () => {
    const places = new Map(tills.map(({ id, light }) => [id, light.servedBy]));
    assert.equal(new Set(places.values()).size, 2, "the group's devices are on both shards");
    const { revision } = await change(TILLS, shard(0));
    const oneOf = ({ address }: Member) => tills.find(({ id }) => places.get(id) === address) ?? assert.fail("the shard has no device");
    const [failing, waiting] = [oneOf(shard(0)), oneOf(shard(1))];
    await allApplied(
      tills.filter((device) => device !== failing && device !== waiting),
      revision,
    );
    await fleet.tell(failing, { ...told(TILLS, revision), appliedRevision: 0n, state: FAILED, code: FailureCode.NO_SPACE });
    for (const at of cluster.shards) {
      const drift = async () => (await apiOf(at).channel.unary(DriftService.method.getDrift, { deviceGroup: TILLS }, call())).groups[0];
      await eventually(async () => {
        const { devices, newest, drifted = [] } = (await drift()) ?? {};
        assert.deepEqual([devices, newest], [tills.length, tills.length - 2], at.name);
        assert.deepEqual(
          new Map(drifted.map(({ deviceId, standing, failureCode }) => [deviceId, [standing, failureCode]])),
          new Map([
            [failing.id, [DeviceStanding.FAILED, FailureCode.NO_SPACE]],
            [waiting.id, [DeviceStanding.WAITING, FailureCode.UNSPECIFIED]],
          ]),
          at.name,
        );
      }, WITHIN);
    }
  });

  it("drift of a group on two shards is followed at both, and through the gateway it is what a shard says", async () => {
    const [failing, silent, ...rest] = vans;
    if (failing === undefined || silent === undefined) throw new Error("there are no two devices");
    const end = new AbortController();
    const last = new Map<Member, GroupDrift>();
    const following = cluster.shards.map(async (at) => {
      const watched = apiOf(at).channel.serverStream(DriftService.method.watchDrift, { deviceGroups: [VANS] }, { headers, signal: end.signal });
      for await (const { groups } of watched) for (const group of groups) last.set(at, group);
    });
    const ended = Promise.allSettled(following);
    const numbers = ({ devices, newest, counts }: GroupDrift) => ({
      devices,
      newest,
      counts: counts.map(({ standing, failureCode, devices: of }) => [standing, failureCode, of]),
    });
    const bothSay = (expected: ReturnType<typeof numbers>) =>
      eventually(() => {
        for (const at of cluster.shards) assert.deepEqual(numbers(last.get(at) ?? assert.fail(`${at.name} said nothing`)), expected, at.name);
      }, WITHIN);
    const [none, waiting] = [FailureCode.UNSPECIFIED, DeviceStanding.WAITING];
    await bothSay({ devices: 4, newest: 0, counts: [[waiting, none, 4]] });
    await allApplied(rest, 1n);
    await fleet.tell(failing, { ...told(VANS, 1n), appliedRevision: 0n, state: FAILED, code: FailureCode.NO_SPACE, stateForMs: 60_000n });
    const expected = {
      devices: 4,
      newest: 2,
      counts: [
        [DeviceStanding.FAILED, FailureCode.NO_SPACE, 1],
        [waiting, none, 1],
      ],
    };
    await bothSay(expected);
    const [through] = (await gateway(DriftService).getDrift({ deviceGroup: VANS }, { headers })).groups;
    assert.deepEqual(numbers(through ?? assert.fail("no drift")), expected);
    end.abort();
    assert.deepEqual(
      (await ended).map(({ status }) => status),
      ["rejected", "rejected"],
      "both were followed until then",
    );
  });

  it("the overview of the fleet is the same at both shards and through the gateway, with the changes of the last hour, and is followed at both", async () => {
    const request = { deviceGroups: [SHOPS, TILLS, VANS], members: true };
    const { getOverview, watchOverview } = FleetService.method;
    const end = new AbortController();
    const last = new Map<Member, { groups: Map<string, GroupOverview>; fleet: FleetOverview | undefined }>();
    const following = cluster.shards.map(async (at) => {
      const seen: { groups: Map<string, GroupOverview>; fleet: FleetOverview | undefined } = { groups: new Map(), fleet: undefined };
      for await (const message of apiOf(at).channel.serverStream(watchOverview, request, { headers, signal: end.signal })) {
        for (const group of message.groups) seen.groups.set(group.deviceGroup, group);
        seen.fleet = message.fleet ?? seen.fleet;
        if (message.complete) last.set(at, seen);
      }
    });
    const ended = Promise.allSettled(following);
    const { revision } = await change(SHOPS, shard(0));
    await allApplied(shops, revision);
    const { states: ofVans } = (await apiOf(shard(0)).channel.unary(getOverview, { deviceGroups: [VANS] }, call())).groups[0] ?? {};
    assert.equal(ofVans?.failed, 1n, "one of the vans failed before");
    const said = (fleet: FleetOverview | undefined, groups: Iterable<GroupOverview>) => ({
      fleet: [fleet?.states?.applied, fleet?.states?.failed, fleet?.states?.waiting, fleet?.deviceGroups],
      groups: [...groups].map(({ deviceGroup, states, members }) => [deviceGroup, states?.applied, members.map(({ newest }) => newest?.revision)]),
    });
    await eventually(async () => {
      const through = await gateway(FleetService).getOverview(request, { headers });
      const expected = said(through.fleet, through.groups);
      assert.equal(through.groups[0]?.states?.applied, BigInt(shops.length));
      const newest = through.recentChanges?.changes.find(({ change: of }) => of?.name === appOf(SHOPS));
      assert.deepEqual([newest?.change?.revisionAfter, newest?.states?.applied, newest?.superseded], [revision, BigInt(shops.length), false]);
      for (const at of cluster.shards) {
        const { fleet: ofFleet, groups } = await apiOf(at).channel.unary(getOverview, request, call());
        assert.deepEqual(said(ofFleet, groups), expected, at.name);
        const { fleet: followed, groups: sent } = last.get(at) ?? assert.fail(`${at.name} sent nothing`);
        const byName = [...sent.values()].sort((a, b) => (a.deviceGroup < b.deviceGroup ? -1 : 1));
        assert.deepEqual(said(followed, byName), expected, at.name);
      }
    }, WITHIN);
    end.abort();
    assert.deepEqual(
      (await ended).map(({ status }) => status),
      ["rejected", "rejected"],
      "both were followed until then",
    );
  });

  it("why of a device says the same at both shards and through the gateway, also after it went offline", async () => {
    const [failing, silent, applied] = vans;
    if (failing === undefined || silent === undefined || applied === undefined) throw new Error("there are no three devices");
    const shardOf = ({ light }: ToldDevice) => cluster.shards.find(({ address }) => address === light.servedBy)?.name;
    const explained = async ({ id: deviceId }: ToldDevice) => {
      const request = { deviceId, kind: TargetKind.APP, name: appOf(VANS) };
      const answers = [
        ...(await Promise.all(cluster.shards.map((at) => apiOf(at).channel.unary(ExplainService.method.explain, request, call())))),
        await gateway(ExplainService).explain(request, { headers }),
      ];
      return answers.map(({ explanation }) => {
        const { connection, stuckAt, targets } = explanation ?? assert.fail("no explanation");
        const [target] = targets;
        return {
          state: connection?.state,
          since: connection?.since,
          shard: connection?.shard,
          stuckAt,
          target: target?.stuckAt,
          code: target?.failureCode,
          ms: target?.stuckForMs,
        };
      });
    };
    const { ONLINE, OFFLINE } = ConnectionState;
    const brief = (all: Awaited<ReturnType<typeof explained>>) =>
      all.map(({ state, shard: at, stuckAt, target, code }) => ({ state, at, stuckAt, target, code }));
    const three = <T>(value: T) => [value, value, value];
    const at = (device: ToldDevice) => ({ state: ONLINE, at: shardOf(device), code: FailureCode.UNSPECIFIED });
    const { NOWHERE, NEVER_REPORTED, STEP } = StuckAt;
    await eventually(async () => {
      assert.deepEqual(brief(await explained(applied)), three({ ...at(applied), stuckAt: NOWHERE, target: NOWHERE }));
      assert.deepEqual(brief(await explained(silent)), three({ ...at(silent), stuckAt: NEVER_REPORTED, target: NEVER_REPORTED }));
      assert.deepEqual(brief(await explained(failing)), three({ ...at(failing), stuckAt: NOWHERE, target: STEP, code: FailureCode.NO_SPACE }));
    }, WITHIN);
    await failing.leave();
    await eventually(async () => {
      const all = await explained(failing);
      assert.deepEqual(
        all.map(({ state, stuckAt, target }) => [state, stuckAt, target]),
        three([OFFLINE, StuckAt.OFFLINE, STEP]),
      );
      const [first] = all;
      assert.deepEqual(all, three(first), "the time in the step ended where it went offline");
      assert.ok((first?.ms ?? 0n) >= 60_000n);
    }, WITHIN);
  });

  it("devices of a shard that drains stay online, and are so at the other shard in the end", async () => {
    const draining = await ownerOf(SHOPS);
    const stays = other(draining);
    const online = shops.filter(({ hasLeft }) => !hasLeft());
    const end = new AbortController();
    const at = new Map<string, string>();
    const seenOffline = new Set<string>();
    const request = { deviceGroups: [SHOPS] };
    const reading = (async () => {
      for await (const { devices } of apiOf(stays).channel.serverStream(DeviceService.method.watchDevices, request, {
        headers,
        signal: end.signal,
      })) {
        for (const { deviceId, connection } of devices) {
          if (connection?.state !== ConnectionState.ONLINE && at.has(deviceId)) seenOffline.add(deviceId);
          at.set(deviceId, connection?.state === ConnectionState.ONLINE ? connection.shard : "");
        }
      }
    })().catch(() => {});
    const areAt = ({ name }: Member) => online.every(({ id }) => at.get(id) === name);
    await eventually(() => areAt(draining), WITHIN);
    draining.program.child.kill("SIGTERM");
    await fleet.served(online, stays);
    assert.equal(await draining.program.exit(), 0);
    await eventually(() => areAt(stays), WITHIN);
    end.abort();
    await reading;
    assert.deepEqual(
      online.filter(({ id }) => seenOffline.has(id)).map(({ id }) => id),
      [],
    );
    const list = new Map((await listed(stays, SHOPS, {})).map(({ deviceId, connection }) => [deviceId, connection]));
    for (const { id } of online) assert.deepEqual([list.get(id)?.state, list.get(id)?.shard], [ConnectionState.ONLINE, stays.name]);
    draining.launch();
    await draining.ready();
    await fleet.served(online, draining);
  });

  it("WatchApply while Redis is stopped: the verdict comes, and equals a recount", async () => {
    const owner = await ownerOf(SHOPS);
    const { revision, request } = await change(SHOPS, owner);
    const { messages, ended } = follow(other(owner), request);
    await eventually(() => inNumbers(messages.at(-1)?.counts).waiting > 0, WITHIN);
    await redis.kill();
    try {
      await allApplied(shops.slice(0, 2), revision);
      await allApplied(shops.slice(3), revision);
      await assertVerdict(await ended, ApplyVerdict.APPLIED, shops, revision);
    } finally {
      await redis.startAgain();
    }
  });

  it("WatchApply while the shard of the devices is killed: those that go on elsewhere count, and one that does not is offline", async () => {
    const killed = await ownerOf(SHOPS);
    const stays = other(killed);
    const [one, lost, , ...rest] = shops;
    if (one === undefined || lost === undefined) throw new Error("there are no devices");
    await fleet.served([one, lost, ...rest], killed);
    const { revision, request } = await change(SHOPS, killed);
    const { messages, ended } = follow(stays, request);
    await allApplied([one], revision);
    await eventually(() => inNumbers(messages.at(-1)?.counts).applied === 1, WITHIN);
    const ending = killed.program.kill();
    await Promise.all([ending, lost.leave()]);
    await fleet.served([one, ...rest], stays);
    await allApplied(rest, revision);
    const last = await ended;
    await assertVerdict(last, ApplyVerdict.APPLIED, shops, revision);
    assert.equal(inNumbers(last.counts).offline, 2);
    killed.launch();
    await killed.ready();
  });

  it("WatchApply whose shard is killed is opened again through the gateway, and has the verdict", async () => {
    await eventually(async () => assert.deepEqual(await Promise.all(cluster.shards.map((each) => each.metric("nebula_members"))), [2, 2]), WITHIN);
    const { revision, request } = await change(TILLS, shard(0));
    const client = gateway(ApplyService);
    const first = gathered(client.watchApply(request, { headers }));
    await eventually(() => first.messages.length > 0, WITHIN);
    const streams = await Promise.all(
      cluster.shards.map((each) => each.metric("nebula_server_streams", { method: "/nebula.v1.ApplyService/WatchApply" })),
    );
    assert.deepEqual(streams.toSorted(), [0, 1]);
    const killed = shard(streams.indexOf(1));
    await allApplied(tills.slice(0, 3), revision);
    await killed.program.kill();
    await assert.rejects(first.ended, (error) => error instanceof ConnectError && error.code === Code.Unavailable);
    const again = gathered(client.watchApply(request, { headers }));
    await fleet.served(tills, other(killed));
    await allApplied(tills.slice(3), revision);
    await assertVerdict(await again.ended, ApplyVerdict.APPLIED, tills, revision);
  });
});
