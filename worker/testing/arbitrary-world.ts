import fc from "fast-check";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { type ConfigInit, configOf, perServer } from "../../common/testing/config-builder.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { LABEL } from "../observed/labels.ts";
import type { RuntimeCall, SimulatedRuntime } from "../runtime/simulated/simulated.ts";
import type { Trouble } from "../runtime/simulated/troubles.ts";

const APPS = ["web", "db", "api"];
/** Few, so that they collide. */
const PORTS = [8000, 8001, 8002, 8003];
/** Most ports are on every address, as most are. */
const ADDRESSES = ["", "", "", "127.0.0.1", "10.0.0.1"];

type AppInit = NonNullable<NonNullable<ConfigInit["apps"]>[string]>;

function arbitraryApp(ports: boolean): fc.Arbitrary<AppInit> {
  return fc
    .record({
      image: fc.constantFrom("shop:1", "shop:2"),
      count: fc.integer({ min: 1, max: 4 }),
      running: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
      rollingRestart: fc.boolean(),
      ports: fc.uniqueArray(fc.tuple(fc.constantFrom(...PORTS), fc.constantFrom(...ADDRESSES)), {
        maxLength: ports ? 2 : 0,
        selector: ([port]) => port,
      }),
      networks: fc.constantFrom(["nebula"], [], ["none"], ["bridge", "nebula"]),
      value: fc.constantFrom("a", "b"),
      pullPolicy: fc.constantFrom(0, 1, 2),
    })
    .map(
      ({ image, count, ports: hostPorts, value, networks, ...rest }): AppInit => ({
        ...rest,
        networks: [...networks],
        dockerImage: image,
        containersPer: perServer(count),
        startingPorts: hostPorts.map(([hostPort, hostAddress]) => ({ hostPort, hostAddress, containerPort: 80 })),
        envVars: { VALUE: value },
      }),
    );
}

/** Configs of one group, each newer than the one before. @param ports whether apps publish ports, and may fight over them */
export function arbitraryConfigs({ ports }: { ports: boolean }): fc.Arbitrary<Config[]> {
  const group = fc.array(fc.tuple(fc.constantFrom(...APPS), fc.option(arbitraryApp(ports), { freq: 6 })), { minLength: 1, maxLength: 3 });
  return fc.array(group, { minLength: 1, maxLength: 3 }).map((groups) =>
    groups.map((apps, step) => {
      const revision = BigInt(step + 1);
      const entries = apps.map(([name, app]): [string, AppInit | undefined] => [name, app === null ? undefined : { ...app, revision }]);
      return configOf({ groupRevision: revision, tombstoneRevision: revision, apps: Object.fromEntries(entries) });
    }),
  );
}

/** Calls about one object, as an engine may leave them hanging, or refuse them. */
export const TROUBLED = [
  "create",
  "connectNetwork",
  "disconnectNetwork",
  "start",
  "stop",
  "rename",
  "remove",
  "inspectContainer",
  "inspectImage",
  "removeVolume",
  "createNetwork",
] satisfies readonly RuntimeCall["method"][];

/**
 * The trouble with a call: a refusal, at once or late, or a call that takes effect, perhaps after its caller has
 * given up; undefined: none.
 */
export const arbitraryTrouble: fc.Arbitrary<Trouble | undefined> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  fc.record({ afterMs: fc.constantFrom(0, 500, 5000, 30_000, 90_000, 150_000), refusal: fc.constantFrom(undefined, "refused by the engine") }),
);

/** Has calls troubled in their order, as long as there is trouble left. */
export function troubleInOrder(troubles: readonly (Trouble | undefined)[]): (call: RuntimeCall) => Trouble | undefined {
  const left = [...troubles];
  return ({ method }) => (TROUBLED.some((troubled) => troubled === method) ? left.shift() : undefined);
}

export type Leftover = Readonly<{
  name: string;
  owner: "ours" | "original" | "foreign";
  app: string;
  index: number;
  port: number | undefined;
  address: string;
  isStarted: boolean;
}>;

/** Containers that are there before the worker comes: half done work of its own, the original's, other people's. */
export const arbitraryLeftovers: fc.Arbitrary<Leftover[]> = fc.uniqueArray(
  fc.record({
    name: fc
      .tuple(fc.constantFrom(...APPS), fc.integer({ min: 1, max: 3 }), fc.constantFrom("", "", ".next", ".old"))
      .map(([app, n, suffix]) => `${app}-${n}${suffix}`),
    owner: fc.constantFrom("ours", "ours", "original", "foreign"),
    app: fc.constantFrom(...APPS, "gone"),
    index: fc.integer({ min: 1, max: 4 }),
    port: fc.option(fc.constantFrom(...PORTS), { nil: undefined }),
    address: fc.constantFrom(...ADDRESSES),
    isStarted: fc.boolean(),
  }),
  { selector: ({ name }) => name, maxLength: 5 },
);

/** Puts leftovers on an engine, ours made for this cluster; those whose port is taken stay unstarted. */
export async function place(runtime: SimulatedRuntime, leftovers: readonly Leftover[], clusterId = "c1"): Promise<void> {
  const signal = new AbortController().signal;
  for (const { name, owner, app, index, port, address, isStarted } of leftovers) {
    const published = { hostPort: port ?? 0, containerPort: 80, protocol: "tcp" as const, ...(address === "" ? {} : { address }) };
    const spec = {
      ...bareSpec("shop:1"),
      restartPolicy: "unless-stopped" as const,
      ports: port === undefined ? [] : [published],
    };
    const v2 = { [LABEL.orchestrator]: "nebula", [LABEL.containerType]: "app", [LABEL.appName]: app };
    const ours = {
      ...v2,
      [LABEL.instance]: "main",
      [LABEL.index]: String(index),
      [LABEL.spec]: "1:earlier",
      [LABEL.boot]: "earlier",
      [LABEL.cluster]: `${clusterId}.1`,
      [LABEL.revision]: "1",
    };
    const id = await runtime.create({ name, spec, labels: owner === "ours" ? ours : owner === "original" ? v2 : {} }, signal);
    if (isStarted) await runtime.start(id, signal).catch(() => {});
  }
}
