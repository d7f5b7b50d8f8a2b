import { strict as assert } from "node:assert";
import { systemClock } from "../common/clock/system-clock.ts";
import { configOf } from "../common/testing/config-builder.ts";
import { eventually } from "../common/testing/eventually.ts";
import { AppService } from "../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { type Report, TargetState } from "../gen/nebula/v1/report_pb.ts";
import { LatestEvents } from "../worker/connection/events.ts";
import { Engine, FOREVER, IMAGE, newInstance } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";
import { startInProcess } from "./harness/in-process-worker.ts";

/*
 * Faults that the original is known for, and where each is a test:
 *  1 a manager outage stopped every container                  outages: of the manager
 *  2 the delete of a device_group crashed workers              outages: a device_group that is deleted crashes nobody
 *  3 the delete of an app left orphans                         outages: an app that is deleted leaves nothing behind
 *  4 an app that was created again was ignored                 outages: ... and one that is created again under its name is followed
 *  5 the delete of a cron_job crashed workers                  cron: ... and go when they are deleted
 *  6 an empty list of networks crashed the job                 cron: run when they are due (its networks are empty)
 *  7 rolls of ten or more collided on names, never scaled up   rolling: of 12 containers ..., and goes on to more
 *  8 a container that was removed stayed gone                  drift: a container that was removed is made again
 *  9 a port conflict crashed the worker                        failures: a port that a container which is not ours has; that a process of the host has
 * 10 containers_per {} or 0, and bad ports, crashed workers    below
 * 11 one failing app kept others from converging               failures: each test has an app before and after the one that fails
 */
describe("values that no container can be made of", function () {
  this.timeout(60_000);
  const rig = FleetRig.describe();

  type Refused = Readonly<{ what: string; app: Omit<Parameters<typeof rig.api.createApp>[0], "name">; field: string }>;
  const refused: readonly Refused[] = [
    { what: "containers_per {}", app: { containersPer: {} }, field: "containers_per" },
    { what: "containers_per 0", app: { containersPer: { per: { case: "server", value: 0 } } }, field: "containers_per" },
    { what: "a host port of 0", app: { startingPorts: [{ hostPort: 0, containerPort: 80 }] }, field: "starting_ports" },
    { what: "a host port above 65535", app: { startingPorts: [{ hostPort: 70_000, containerPort: 80 }] }, field: "starting_ports" },
    {
      what: "host ports that run past 65535",
      app: { startingPorts: [{ hostPort: 65_535, containerPort: 80 }], containersPer: { per: { case: "server", value: 2 } } },
      field: "starting_ports",
    },
  ];

  for (const { what, app, field } of refused) {
    it(`${what} is refused by the API, by the field's name`, async () => {
      const name = rig.name("bad");
      await assert.rejects(rig.api.createApp({ dockerImage: IMAGE, ...app, name }), (error: unknown) => {
        assert.ok(error instanceof Error && "kind" in error && error.kind === "invalid_argument", String(error));
        assert.match(error.message, new RegExp(field));
        return true;
      });
      await assert.rejects(rig.api.channel.unary(AppService.method.getApp, { name }, { headers: rig.api.headers }), { kind: "not_found" });
    });
  }

  it("a worker that gets an invalid value all the same fails that app, with the reason, and runs the others", async () => {
    const instance = newInstance();
    const engine = new Engine(instance);
    rig.defer(() => engine.clean());
    const events = new LatestEvents();
    const good = { dockerImage: IMAGE, command: FOREVER, pullPolicy: PullPolicy.MISSING };
    const bad = Object.fromEntries(refused.map(({ app }, i) => [`bad-${i}`, { ...good, ...app }]));
    events.put({ kind: "connected", address: "test" });
    events.put({ kind: "config", etag: "e1", config: configOf({ deviceGroup: "group", apps: { first: good, ...bad, last: good } }) });
    const worker = rig.use(
      await startInProcess({
        server: rig.server,
        clock: systemClock,
        deviceGroup: "group",
        deviceId: `device-${instance}`,
        instance,
        connection: ({ signal }) => {
          signal.addEventListener("abort", () => events.close());
          return { [Symbol.asyncIterator]: () => events[Symbol.asyncIterator](), submit: async () => {}, loginChanged: () => {} };
        },
      }),
    );
    await engine.settled("first", 1);
    await engine.settled("last", 1);
    const statusOf = (name: string, report: Report | undefined) => report?.apps.find((app) => app.name === name);
    for (const [i, { what }] of refused.entries()) {
      const status = await eventually(() => statusOf(`bad-${i}`, worker.report()) ?? false);
      assert.equal(status.state, TargetState.FAILED, what);
      assert.match(status.reason, /containers_per|port/, what);
    }
    for (const name of ["first", "last"]) {
      await eventually(() => statusOf(name, worker.report())?.state === TargetState.APPLIED);
    }
    assert.equal((await engine.containers()).length, 2);
  });
});
