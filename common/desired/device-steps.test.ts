import { strict as assert } from "node:assert";
import { type ConfigInit, configOf } from "../testing/config-builder.ts";
import { desiredOf } from "./desired.ts";
import { deviceSteps, type KnownApp, type KnownContainer } from "./device-steps.ts";

const PORT = { hostPort: 80, protocol: "tcp" } as const;
const startingPorts = [{ hostPort: 80, containerPort: 80 }];
const REFUSED = { dockerImage: "", startingPorts };

/** A container of an earlier revision that holds port 80 and has ended, unless said otherwise. */
const container = (init: Partial<KnownContainer> = {}): KnownContainer => {
  return { index: 1, hash: undefined, ports: [PORT], isUp: false, hasRun: true, ...init };
};
const known = (...containers: readonly KnownContainer[]): KnownApp => ({ containers, pulledChange: undefined, isStale: false });

/** How many containers of each app are started again. */
function startedAgain(apps: NonNullable<ConfigInit["apps"]>, device: Readonly<Record<string, KnownApp>>): Record<string, number> {
  const desired = desiredOf(configOf({ apps }), { deviceId: "device-1", engine: { cores: 1, memoryBytes: 0 } });
  const steps = deviceSteps(desired, { apps: new Map(Object.entries(device)), cronJobs: new Map(), images: new Set() });
  return Object.fromEntries(steps.filter(({ step }) => step === "start_again").map(({ name, containers }) => [name, containers]));
}

describe("the containers of a refused app that are started again", () => {
  it("a container of a refused app that ended is started again", () => {
    assert.deepEqual(startedAgain({ web: REFUSED }, { web: known(container()) }), { web: 1 });
  });

  it("a container of a refused app that never ran, or that a replacement left, is not started again", () => {
    assert.deepEqual(startedAgain({ web: REFUSED }, { web: known(container({ hasRun: false })) }), {});
  });

  it("a container of a refused app is not started again on a port that another one holds, or that a new one is due", () => {
    const up = known(container({ isUp: true, hasRun: false }));
    assert.deepEqual(startedAgain({ web: REFUSED, api: REFUSED }, { web: known(container()), api: up }), {});
    assert.deepEqual(startedAgain({ web: REFUSED, api: { startingPorts } }, { web: known(container()) }), {});
    assert.deepEqual(startedAgain({ web: REFUSED, api: { running: false, startingPorts } }, { web: known(container()), api: up }), { web: 1 });
  });

  it("of containers of refused apps with one port the first is started again", () => {
    assert.deepEqual(startedAgain({ web: REFUSED, api: REFUSED }, { web: known(container(), container({ index: 2 })), api: known(container()) }), {
      web: 1,
    });
  });
});
