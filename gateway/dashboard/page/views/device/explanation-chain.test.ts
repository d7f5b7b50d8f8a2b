import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { explanationText } from "../../../../../common/insight/text/explanation-text.ts";
import { cellText } from "../../../../../common/text/cell.ts";
import { ConnectionState, TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import {
  type Explanation,
  ExplanationSchema,
  StuckAt,
  type TargetExplanation,
  type TargetExplanationSchema,
} from "../../../../../gen/nebula/v1/explain_pb.ts";
import { ContainerState, FailureCode, TargetState } from "../../../../../gen/nebula/v1/report_pb.ts";
import { chainsOf, restOf } from "./explanation-chain.ts";

const NOW = Date.UTC(2026, 0, 2);
const desired = { revision: 42n, running: true, action: "update", lastChange: { at: timestampFromMs(NOW - 60_000), by: "ann" } };
type TargetInit = Exclude<MessageInitShape<typeof TargetExplanationSchema>, TargetExplanation>;

const web: TargetInit = {
  kind: TargetKind.APP,
  name: "web",
  desired,
  inGroup: true,
  knownRevision: 42n,
  appliedRevision: 42n,
  stuckAt: StuckAt.NOWHERE,
  containers: [{ name: "web-1", revision: 42n, state: ContainerState.RUNNING }],
};

type Init = Exclude<MessageInitShape<typeof ExplanationSchema>, Explanation>;

function explained(targets: TargetInit[], more: Init = {}) {
  return create(ExplanationSchema, {
    deviceId: "till-7",
    deviceGroup: "pos",
    group: { revision: 3n, running: true },
    connection: { state: ConnectionState.ONLINE, since: timestampFromMs(NOW - 3_600_000) },
    lastReportAt: timestampFromMs(NOW - 5000),
    newestEtag: "abcdefgh",
    deviceEtag: "abcdefgh",
    delivered: true,
    stuckAt: StuckAt.NOWHERE,
    explainedAt: timestampFromMs(NOW),
    targets,
    ...more,
  });
}

const states = (chain: ReturnType<typeof chainsOf>[number] | undefined) => chain?.links.map(({ name, state }) => `${name} ${state}`);

describe("the chain of a change to a device", () => {
  it("an app that runs as wanted has every link done, and no advice", () => {
    const [chain] = chainsOf(explained([web]));
    assert.deepEqual(states(chain), ["desired done", "connected done", "delivered done", "applied done", "containers done"]);
    assert.deepEqual([chain?.isStuck, chain?.advice, chain?.title, chain?.change], [false, [], "web", "/ui/changes/app/web/42"]);
  });

  it("a step that failed is stuck at applied, with its time, tries, next try and advice", () => {
    const failed = {
      ...web,
      appliedRevision: 41n,
      state: TargetState.FAILED,
      stuckAt: StuckAt.STEP,
      stuckForMs: 120_000n,
      failureCode: FailureCode.PORT_TAKEN,
      step: "ports",
      reason: "port 80 is taken",
      tries: 4,
      retryInMs: 30_000n,
      advice: [{ text: "Free the port", command: "nebulactl why till-7" }],
    };
    const [chain] = chainsOf(explained([failed]));
    assert.deepEqual(states(chain), ["desired done", "connected done", "delivered done", "applied stuck", "containers ahead"]);
    assert.deepEqual(chain?.links[3]?.lines, [
      "web @41, on the way to @42 - stuck here for 2 min (port_taken)",
      "ports: port 80 is taken; tried 4 times; next try in 30 s",
    ]);
    assert.deepEqual(chain?.advice, [{ text: "Free the port", command: "nebulactl why till-7" }]);
  });

  it("each app of several has the lines that nebulactl why prints of it alone", () => {
    const nightly = { ...web, kind: TargetKind.CRON_JOB, name: "nightly", containers: [] };
    const chains = chainsOf(explained([web, nightly]));
    const alone = explanationText(explained([nightly])).blocks.flat();
    assert.deepEqual(
      chains[1]?.links.flatMap(({ lines }) => lines),
      alone.map(([, value]) => cellText(value)),
    );
    assert.equal(chains[1]?.title, "cron_job nightly");
  });

  it("a device that is offline is stuck at connected, and one that works is under way", () => {
    const offline = chainsOf(explained([{ ...web, stuckAt: StuckAt.OFFLINE }], { stuckAt: StuckAt.OFFLINE }));
    assert.deepEqual(states(offline[0])?.slice(0, 3), ["desired done", "connected stuck", "delivered ahead"]);
    const later = chainsOf(explained([{ ...web, stuckAt: StuckAt.STEP }], { connection: { state: ConnectionState.OFFLINE } }));
    assert.deepEqual(states(later[0])?.slice(1, 4), ["connected offline", "delivered done", "applied stuck"]);
    const working = chainsOf(explained([{ ...web, stuckAt: StuckAt.WORKING }]));
    assert.equal(working[0]?.links[3]?.state, "working");
  });

  it("every place where a change may be stuck is at one of the links", () => {
    const places = Object.values(StuckAt).filter((place) => place > StuckAt.NOWHERE);
    assert.equal(places.length, 12);
    for (const stuckAt of places) {
      const [chain] = chainsOf(explained([{ ...web, stuckAt }]));
      assert.equal(chain?.links.filter(({ state }) => state === "stuck" || state === "working").length, 1, `place ${stuckAt}`);
    }
  });

  it("a device without apps says what is wrong with it as a whole, once", () => {
    const text = restOf(
      explained([], {
        stuckAt: StuckAt.NO_GROUP,
        advice: [{ text: "Create the group" }],
        problems: [{ problem: { code: "no_such_group", message: "it is gone" }, advice: [{ text: "Create the group" }] }],
      }),
    );
    assert.ok(text.lines.some((line) => line.startsWith("problem: no_such_group: it is gone")));
    assert.deepEqual(text.advice, [{ text: "Create the group", command: "" }]);
  });

  it("a reason with marks of direction is written out", () => {
    const hostile = { ...web, state: TargetState.FAILED, stuckAt: StuckAt.STEP, step: "pull", reason: "\u202egro.live\u0007" };
    assert.ok(chainsOf(explained([hostile]))[0]?.links[3]?.lines.some((line) => line.includes("\\u202egro.live\\x07")));
  });
});
