import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createRouterTransport } from "@connectrpc/connect";
import {
  ApplyService,
  ApplyTargetSchema,
  ApplyVerb,
  ApplyVerdict,
  DeviceStanding,
  WatchApplyResponseSchema,
} from "../../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { FleetService, type GetOverviewResponse, WatchOverviewResponseSchema } from "../../../../gen/nebula/v1/fleet_pb.ts";
import { applyRequest, foldApply, foldOverview, isLiveState, liveKey, sourceOf } from "./live-kinds.ts";

async function* sent(...messages: MessageInitShape<typeof WatchOverviewResponseSchema>[]) {
  for (const message of messages) yield create(WatchOverviewResponseSchema, message);
}

async function folded(...messages: MessageInitShape<typeof WatchOverviewResponseSchema>[]): Promise<GetOverviewResponse[]> {
  return await Array.fromAsync(foldOverview(sent(...messages)));
}

describe("the live overview", () => {
  it("a stream that says what changed becomes the whole overview, from the first complete message on", async () => {
    const states = await folded(
      { groups: [{ deviceGroup: "pos", states: { applied: 1n } }], fleet: { deviceGroups: 1n } },
      { groups: [{ deviceGroup: "kiosks", states: { applied: 2n } }], fleet: { deviceGroups: 2n }, recentChanges: { more: true }, complete: true },
      { groups: [{ deviceGroup: "pos", states: { failed: 1n } }], mayCreate: { deviceGroups: true }, complete: true },
      { left: ["kiosks"], fleet: { deviceGroups: 1n }, complete: true },
    );
    assert.deepEqual(
      states.map(({ fleet, groups, recentChanges, mayCreate }) => [
        fleet?.deviceGroups,
        groups.map(({ deviceGroup, states }) => `${deviceGroup} ${states?.applied}/${states?.failed}`),
        recentChanges?.more,
        mayCreate?.deviceGroups,
      ]),
      [
        [2n, ["kiosks 2/0", "pos 1/0"], true, undefined],
        [2n, ["kiosks 2/0", "pos 0/1"], true, true],
        [1n, ["pos 0/1"], true, true],
      ],
    );
  });

  it("a state that was sent does not change with the next one", async () => {
    const [first] = await folded(
      { groups: [{ deviceGroup: "pos" }], fleet: { deviceGroups: 1n }, complete: true },
      { groups: [{ deviceGroup: "two" }], fleet: { deviceGroups: 2n }, complete: true },
    );
    assert.deepEqual([first?.fleet?.deviceGroups, first?.groups.length], [1n, 1]);
  });

  it("an overview that is polled has all pages, and passes between the worker and tabs", async () => {
    const asked: string[] = [];
    const transport = createRouterTransport(({ service }) =>
      service(FleetService, {
        getOverview({ pageToken }) {
          asked.push(pageToken);
          return pageToken === ""
            ? { fleet: { deviceGroups: 2n }, groups: [{ deviceGroup: "a" }], nextPageToken: "a" }
            : { fleet: { deviceGroups: 2n }, groups: [{ deviceGroup: "b" }] };
        },
      }),
    );
    const source = sourceOf(transport)(liveKey("overview", { deviceGroups: [], members: false }));
    const state = structuredClone(await source.read(new AbortController().signal));
    assert.ok(isLiveState("overview", state));
    assert.deepEqual([state.groups.map(({ deviceGroup }) => deviceGroup), state.fleet?.deviceGroups, asked], [["a", "b"], 2n, ["", "a"]]);
    assert.ok(!isLiveState("overview", { other: 1 }));
  });
});

describe("the live way of a change", () => {
  async function* said(...messages: MessageInitShape<typeof WatchApplyResponseSchema>[]) {
    for (const message of messages) yield create(WatchApplyResponseSchema, message);
  }
  const failed = (deviceId: string) => ({ deviceId, deviceGroup: "pos", standing: DeviceStanding.FAILED });

  it("each state names all devices that failed, without those that recovered or left", async () => {
    const states = await Array.fromAsync(
      foldApply(
        said(
          { changed: [failed("a"), failed("b"), failed("c")] },
          { changed: [{ ...failed("a"), standing: DeviceStanding.APPLIED }, failed("d")] },
          { changed: [{ ...failed("b"), standing: DeviceStanding.UNSPECIFIED }] },
        ),
      ),
    );
    assert.deepEqual(
      states.map(({ changed }) => changed.map(({ deviceId }) => deviceId).join("")),
      ["abc", "bcd", "cd"],
    );
  });

  it("a state says that some devices may have recovered once more changed than a message names", async () => {
    const moreChanged = [{ standing: DeviceStanding.APPLIED, devices: 7n }];
    const states = await Array.fromAsync(
      foldApply(said({ changed: [failed("a")], moreChanged }, { changed: [failed("b")] }, { moreChanged }, { changed: [failed("c")] })),
    );
    assert.deepEqual(
      states.map(({ changed, moreChanged }) => [changed.length, moreChanged.length]),
      [
        [1, 0],
        [2, 0],
        [2, 1],
        [3, 1],
      ],
    );
  });

  it("a change that is polled is read by a stream that ends at once, and passes between the worker and tabs", async () => {
    const asked: string[] = [];
    const transport = createRouterTransport(({ service }) =>
      service(ApplyService, {
        async *watchApply({ targets: [target], settleMs, timeoutMs }) {
          asked.push(`${target?.name} ${target?.revision} ${target?.verb} ${target?.added[0]?.name} ${settleMs} ${timeoutMs}`);
          yield { counts: { devices: 3n, applied: 2n, failed: 1n }, changed: [failed("a")] };
          yield { counts: { devices: 3n, applied: 2n, failed: 1n }, verdict: ApplyVerdict.FAILED };
        },
      }),
    );
    const target = { kind: TargetKind.APP, name: "web", revision: 42n, verb: ApplyVerb.UPDATE, added: [{ kind: TargetKind.APP, name: "a" }] };
    const key = liveKey("apply", applyRequest(create(ApplyTargetSchema, target)));
    const state = structuredClone(await sourceOf(transport)(key).read(new AbortController().signal));
    assert.ok(isLiveState("apply", state));
    assert.deepEqual([state.counts?.applied, state.changed.length, asked], [2n, 1, [`web 42 ${ApplyVerb.UPDATE} a 0 0`]]);
  });
});
