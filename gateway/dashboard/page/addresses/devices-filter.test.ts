import { strict as assert } from "node:assert";
import fc from "fast-check";
import { SORT_WORDS } from "../../../../common/insight/text/device-sort.ts";
import { ConfigStanding, ConnectionState, DeviceOrder, TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import {
  CODE_WORDS,
  type DevicesFilter,
  devicesAddress,
  devicesCommand,
  devicesFilterOf,
  devicesRequest,
  nextSort,
  OFFLINE_TIMES,
  STANDING_WORDS,
  STATE_WORDS,
  targetOf,
  targetText,
} from "./devices-filter.ts";

const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined });
const filters: fc.Arbitrary<DevicesFilter> = fc.record(
  {
    group: optional(fc.string({ minLength: 1 })),
    state: optional(fc.constantFrom(...STATE_WORDS.keys())),
    standing: optional(fc.constantFrom(...STANDING_WORDS.keys())),
    connection: optional(fc.constantFrom("online" as const, "offline" as const)),
    longer: optional(fc.constantFrom(...OFFLINE_TIMES.keys())),
    code: optional(fc.constantFrom(...CODE_WORDS.keys())),
    problem: optional(fc.string({ minLength: 1 })),
    failing: optional(fc.constant(true)),
    outdated: optional(fc.constant(true)),
    version: optional(fc.string({ minLength: 1 })),
    target: optional(fc.constantFrom("app/web", "cron_job/web.1", "device_group/pos@4", "app/web@1844674407370955161")),
    sort: optional(fc.constantFrom(...SORT_WORDS)),
  },
  { noNullPrototype: true },
);

describe("the filter of devices in an address", () => {
  it("a filter comes back from its address as it was", () => {
    fc.assert(
      fc.property(filters, (filter) => {
        const url = new URL(devicesAddress(filter), "http://nebula");
        assert.equal(url.pathname, "/ui/devices");
        assert.deepEqual(devicesFilterOf(url.searchParams), filter);
      }),
    );
  });

  it("what is not valid in an address is left out", () => {
    const query = new URLSearchParams("state=gone&standing=lost&code=x&longer=5y&connection=maybe&sort=age&target=user/ann&other=1");
    assert.deepEqual(
      Object.values(devicesFilterOf(query)).filter((value) => value !== undefined),
      [],
    );
  });

  it("a filter is the same in a request and as flags of nebulactl", () => {
    const filter: DevicesFilter = {
      ...{ group: "pos", state: "failed", standing: "working", longer: "1d", code: "no_space", problem: "prune_failed" },
      ...{ outdated: true, version: "0.1.0", sort: "reported:desc", target: "app/web@41" },
    };
    assert.equal(
      devicesCommand(filter),
      "nebulactl devices list --device-group pos --state failed --standing working --target app/web@41 --offline-longer 1d --code no_space --problem prune_failed " +
        "--not-newest --worker-version 0.1.0 --sort reported:desc",
    );
    const request = devicesRequest(filter);
    assert.deepEqual([request.deviceGroup, request.order, request.descending], ["pos", DeviceOrder.REPORTED, true]);
    assert.deepEqual(request.filter, {
      state: TargetState.FAILED,
      standing: ConfigStanding.WORKING,
      connection: ConnectionState.OFFLINE,
      offlineLongerMs: 86_400_000n,
      failureCode: FailureCode.NO_SPACE,
      problem: "prune_failed",
      failing: false,
      notNewest: true,
      workerVersion: "0.1.0",
      target: { kind: TargetKind.APP, name: "web", revision: 41n },
    });
  });

  it("a target is named with its kind or, an app, without, and with a revision or without", () => {
    const named = (text: string) => {
      const target = targetOf(text);
      return target && targetText(target);
    };
    assert.deepEqual(["web", "web@3", "cron_job/web", "device_group/pos@7"].map(named), [
      "app/web",
      "app/web@3",
      "cron_job/web",
      "device_group/pos@7",
    ]);
    for (const text of ["", "user/ann", "app/", "a/b/c", "web@", "web@0", "web@x", "web@1@2", "web@99999999999999999999"]) {
      assert.equal(named(text), undefined, text);
    }
  });

  it("the order of a column is chosen, then turned round, then taken back, and no order asks for none", () => {
    const chosen = [undefined, "state", "state:desc", "reported"].map((sort) => nextSort(sort, "state"));
    assert.deepEqual(chosen, ["state", "state:desc", undefined, "state"]);
    const { order, descending } = devicesRequest({});
    assert.deepEqual([order, descending], [DeviceOrder.UNSPECIFIED, false]);
    const asked = SORT_WORDS.map((sort) => devicesRequest({ sort }));
    assert.equal(new Set(asked.map(({ order, descending }) => `${order} ${descending}`)).size, SORT_WORDS.length);
  });

  it("a word that a shell takes apart is in quotes", () => {
    assert.equal(devicesCommand({ version: "1 2'3", connection: "online" }), `nebulactl devices list --online --worker-version '1 2'\\''3'`);
  });
});
