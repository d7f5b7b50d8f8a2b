import { strict as assert } from "node:assert";
import fc from "fast-check";
import { ConfigStanding, ConnectionState } from "../../../../gen/nebula/v1/device_pb.ts";
import { FailureCode, TargetState } from "../../../../gen/nebula/v1/report_pb.ts";
import {
  CODE_WORDS,
  type DevicesFilter,
  devicesAddress,
  devicesCommand,
  devicesFilterOf,
  devicesRequest,
  OFFLINE_TIMES,
  STANDING_WORDS,
  STATE_WORDS,
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
    const query = new URLSearchParams("state=gone&standing=lost&code=x&longer=5y&connection=maybe&other=1");
    assert.deepEqual(
      Object.values(devicesFilterOf(query)).filter((value) => value !== undefined),
      [],
    );
  });

  it("a filter is the same in a request and as flags of nebulactl", () => {
    const filter: DevicesFilter = {
      ...{ group: "pos", state: "failed", standing: "working", longer: "1d", code: "no_space", problem: "prune_failed" },
      ...{ outdated: true, version: "0.1.0" },
    };
    assert.equal(
      devicesCommand(filter),
      "nebulactl devices list --device-group pos --state failed --standing working --offline-longer 1d --code no_space --problem prune_failed " +
        "--not-newest --worker-version 0.1.0",
    );
    const request = devicesRequest(filter);
    assert.equal(request.deviceGroup, "pos");
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
    });
  });

  it("a word that a shell takes apart is in quotes", () => {
    assert.equal(devicesCommand({ version: "1 2'3", connection: "online" }), `nebulactl devices list --online --worker-version '1 2'\\''3'`);
  });
});
