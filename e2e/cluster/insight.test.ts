import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { ApplyVerdict, DeviceStanding } from "../../gen/nebula/v1/apply_pb.ts";
import { ConnectionState, type Device, type DeviceCounts, DeviceService, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { DriftService, type GroupDrift } from "../../gen/nebula/v1/drift_pb.ts";
import { ExplainService, StuckAt } from "../../gen/nebula/v1/explain_pb.ts";
import { type FleetOverview, FleetService, type GroupOverview } from "../../gen/nebula/v1/fleet_pb.ts";
import { FailureCode, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { Member } from "../harness/cluster-member.ts";
import { insightSurvivesFaults } from "./insight/faults.ts";
import { appOf, InsightStage, SHOPS, TILLS, VANS, WITHIN } from "./insight/stage.ts";
import { inNumbers, type ToldDevice } from "./insight/told-fleet.ts";

/** Partitions of a group in each of the tables of summaries and of presence. */
const PARTITIONS = 16;
const { APPLIED, FAILED, WORKING } = TargetState;

describe("counts, filters, drift and WatchApply on Cassandra, Redis and Kafka", function () {
  this.timeout(240_000);
  let stage: InsightStage;
  before(async function () {
    stage = await InsightStage.start(this);
  });
  after(() => stage?.[Symbol.asyncDispose]());

  it("WatchApply at a shard that does not own the group: the verdict equals a recount from the store", async () => {
    const owner = await stage.ownerOf(SHOPS);
    await stage.fleet.served(stage.shops, owner);
    const [first, second, third, ...rest] = stage.shops;
    if (first === undefined || second === undefined || third === undefined) throw new Error("there are no three devices");
    const { revision, request } = await stage.change(SHOPS, owner);
    const { messages, ended } = stage.follow(stage.other(owner), request);
    await eventually(() => inNumbers(messages.at(-1)?.counts).waiting === stage.shops.length, WITHIN);
    await stage.fleet.tell(first, { ...stage.told(SHOPS, revision), appliedRevision: 0n, state: FAILED, code: FailureCode.PULL_NOT_FOUND });
    await stage.fleet.tell(second, { ...stage.told(SHOPS, revision), appliedRevision: 0n, state: WORKING });
    await stage.allApplied(rest, revision);
    await third.leave();
    await eventually(() => {
      const { failed, working, applied, offline, waiting } = inNumbers(messages.at(-1)?.counts);
      assert.deepEqual({ failed, working, applied, offline, waiting }, { failed: 1, working: 1, applied: rest.length, offline: 1, waiting: 0 });
    }, WITHIN);
    await stage.allApplied([second], revision);
    const last = await ended;
    await stage.assertVerdict(last, ApplyVerdict.FAILED, stage.shops, revision);
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
    const rows = await stage.store.statuses(stage.shops.map(({ id }) => id));
    const watched = new Map<string, Device>();
    let counts: DeviceCounts | undefined;
    const end = new AbortController();
    for await (const message of stage
      .gateway(DeviceService)
      .watchDevices({ deviceGroups: [SHOPS] }, { headers: stage.headers, signal: end.signal })) {
      for (const device of message.devices) watched.set(device.deviceId, device);
      counts = message.counts[0] ?? counts;
      if (message.complete) break;
    }
    end.abort();
    const counted = (await stage.gateway(DeviceService).countDevices({ deviceGroup: SHOPS }, { headers: stage.headers })).deviceGroups[0];
    if (counts === undefined || counted === undefined) throw new Error("nothing was counted");
    for (const at of stage.cluster.shards) {
      const list = await stage.listed(at, SHOPS, {});
      assert.deepEqual(brief(list), brief(watched.values()), at.name);
      assert.deepEqual([pick(counts), pick(counted)], [numbersOf(list), numbersOf(list)], at.name);
      const atShard = await stage.apiOf(at).channel.unary(DeviceService.method.countDevices, { deviceGroup: SHOPS }, stage.call());
      assert.deepEqual(atShard.deviceGroups.map(pick), [numbersOf(list)], at.name);
      for (const { deviceId, summary } of list) assert.equal(summary?.seq, rows.get(deviceId)?.device.report?.seq);
    }
    assert.deepEqual(pick(counts), {
      devices: BigInt(stage.shops.length),
      applied: BigInt(stage.shops.length - 2),
      failed: 1n,
      online: BigInt(stage.shops.length - 1),
    });
  });

  it("a filtered list reads the partitions of its group, and no body of a device that reported from there", async () => {
    const at = stage.other(await stage.ownerOf(SHOPS));
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
        found = await stage.listed(at, group, { failing: true });
      });
      const of = (table: string) => cost.get(table) ?? 0;
      const told = JSON.stringify([...cost]);
      const least = group === SHOPS ? 0 : PARTITIONS; // a view that others read is not read again
      assert.ok(of("device_summary") >= least && of("device_summary") < 3 * PARTITIONS, `${group}: ${told}`);
      assert.ok(of("presence") < 3 * PARTITIONS, `${group}: ${told}`);
      const silent = (await stage.listed(at, group, {})).filter(({ summary }) => summary === undefined);
      assert.ok(silent.length < stage.shops.length / 2, `${group}: ${silent.length} devices without a report`);
      assert.ok(of("device") <= silent.length, `${group}: ${told}`); // whether one that did not report from here moves here
      assert.equal(of("report"), 0, `${group}: ${told}`);
      assert.ok(of("presence_of_device") <= stage.shops.length, `${group}: ${told}`); // of single devices, never of a group
    }
    assert.deepEqual(
      found.map(({ deviceId }) => deviceId),
      [stage.shops[0]?.id],
    );
  });

  it("drift of devices on two shards is the same at both", async () => {
    const places = new Map(stage.tills.map(({ id, light }) => [id, light.servedBy]));
    assert.equal(new Set(places.values()).size, 2, "the group's devices are on both shards");
    const { revision } = await stage.change(TILLS, stage.shard(0));
    const oneOf = ({ address }: Member) => stage.tills.find(({ id }) => places.get(id) === address) ?? assert.fail("the shard has no device");
    const [failing, waiting] = [oneOf(stage.shard(0)), oneOf(stage.shard(1))];
    await stage.allApplied(
      stage.tills.filter((device) => device !== failing && device !== waiting),
      revision,
    );
    await stage.fleet.tell(failing, { ...stage.told(TILLS, revision), appliedRevision: 0n, state: FAILED, code: FailureCode.NO_SPACE });
    for (const at of stage.cluster.shards) {
      const drift = async () => (await stage.apiOf(at).channel.unary(DriftService.method.getDrift, { deviceGroup: TILLS }, stage.call())).groups[0];
      await eventually(async () => {
        const { devices, newest, drifted = [] } = (await drift()) ?? {};
        assert.deepEqual([devices, newest], [stage.tills.length, stage.tills.length - 2], at.name);
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
    const [failing, silent, ...rest] = stage.vans;
    if (failing === undefined || silent === undefined) throw new Error("there are no two devices");
    const end = new AbortController();
    const last = new Map<Member, GroupDrift>();
    const following = stage.cluster.shards.map(async (at) => {
      const watched = stage
        .apiOf(at)
        .channel.serverStream(DriftService.method.watchDrift, { deviceGroups: [VANS] }, { headers: stage.headers, signal: end.signal });
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
        for (const at of stage.cluster.shards) assert.deepEqual(numbers(last.get(at) ?? assert.fail(`${at.name} said nothing`)), expected, at.name);
      }, WITHIN);
    const [none, waiting] = [FailureCode.UNSPECIFIED, DeviceStanding.WAITING];
    await bothSay({ devices: 4, newest: 0, counts: [[waiting, none, 4]] });
    await stage.allApplied(rest, 1n);
    await stage.fleet.tell(failing, { ...stage.told(VANS, 1n), appliedRevision: 0n, state: FAILED, code: FailureCode.NO_SPACE, stateForMs: 60_000n });
    const expected = {
      devices: 4,
      newest: 2,
      counts: [
        [DeviceStanding.FAILED, FailureCode.NO_SPACE, 1],
        [waiting, none, 1],
      ],
    };
    await bothSay(expected);
    const [through] = (await stage.gateway(DriftService).getDrift({ deviceGroup: VANS }, { headers: stage.headers })).groups;
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
    const following = stage.cluster.shards.map(async (at) => {
      const seen: { groups: Map<string, GroupOverview>; fleet: FleetOverview | undefined } = { groups: new Map(), fleet: undefined };
      for await (const message of stage.apiOf(at).channel.serverStream(watchOverview, request, { headers: stage.headers, signal: end.signal })) {
        for (const group of message.groups) seen.groups.set(group.deviceGroup, group);
        seen.fleet = message.fleet ?? seen.fleet;
        if (message.complete) last.set(at, seen);
      }
    });
    const ended = Promise.allSettled(following);
    const { revision } = await stage.change(SHOPS, stage.shard(0));
    await stage.allApplied(stage.shops, revision);
    const { states: ofVans } = (await stage.apiOf(stage.shard(0)).channel.unary(getOverview, { deviceGroups: [VANS] }, stage.call())).groups[0] ?? {};
    assert.equal(ofVans?.failed, 1n, "one of the vans failed before");
    const said = (fleet: FleetOverview | undefined, groups: Iterable<GroupOverview>) => ({
      fleet: [fleet?.states?.applied, fleet?.states?.failed, fleet?.states?.waiting, fleet?.deviceGroups],
      groups: [...groups].map(({ deviceGroup, states, members }) => [deviceGroup, states?.applied, members.map(({ newest }) => newest?.revision)]),
    });
    await eventually(async () => {
      const through = await stage.gateway(FleetService).getOverview(request, { headers: stage.headers });
      const expected = said(through.fleet, through.groups);
      assert.equal(through.groups[0]?.states?.applied, BigInt(stage.shops.length));
      const newest = through.recentChanges?.changes.find(({ change: of }) => of?.name === appOf(SHOPS));
      assert.deepEqual([newest?.change?.revisionAfter, newest?.states?.applied, newest?.superseded], [revision, BigInt(stage.shops.length), false]);
      for (const at of stage.cluster.shards) {
        const { fleet: ofFleet, groups } = await stage.apiOf(at).channel.unary(getOverview, request, stage.call());
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
    const [failing, silent, applied] = stage.vans;
    if (failing === undefined || silent === undefined || applied === undefined) throw new Error("there are no three devices");
    const shardOf = ({ light }: ToldDevice) => stage.cluster.shards.find(({ address }) => address === light.servedBy)?.name;
    const explained = async ({ id: deviceId }: ToldDevice) => {
      const request = { deviceId, kind: TargetKind.APP, name: appOf(VANS) };
      const answers = [
        ...(await Promise.all(stage.cluster.shards.map((at) => stage.apiOf(at).channel.unary(ExplainService.method.explain, request, stage.call())))),
        await stage.gateway(ExplainService).explain(request, { headers: stage.headers }),
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

  insightSurvivesFaults(() => stage);
});
