import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { VERSION } from "../common/version.ts";
import { FOREVER, IMAGE } from "./harness/engine.ts";
import { FleetRig } from "./harness/fleet-rig.ts";

const SECRET = "a-value-that-stays-on-the-device";

type Json = { [field: string]: Json } & Json[] & string;

describe("reports of devices, as JSON over HTTP", function () {
  this.timeout(90_000);
  const rig = FleetRig.describe();

  const call = async (method: string, request: object): Promise<Json> => {
    const response = await fetch(`${rig.server.url}/nebula.v1.${method}`, {
      method: "POST",
      headers: { ...rig.api.headers, "content-type": "application/json" },
      body: JSON.stringify(request),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    assert.ok(!text.includes(SECRET), "an env value is in a report");
    return JSON.parse(text);
  };
  const web = async (healthy: boolean) => {
    const name = rig.name("web");
    await rig.api.createApp({
      name,
      dockerImage: IMAGE,
      command: FOREVER,
      envVars: { TOKEN: SECRET },
      healthcheck: { test: ["CMD-SHELL", healthy ? "true" : "false"], intervalMs: 500, retries: 1 },
    });
    return name;
  };
  /** A worker that finds its manager through the gateway, as most do. */
  const device = (apps: string[]) => rig.device(apps, { env: { NEBULA_SERVER: rig.server.url } });

  it("reports hold for every device its containers, their state, and the state of the machine", async () => {
    const app = await web(true);
    const [one, two] = [await device([app]), await device([app])];
    for (const { engine, worker, group } of [one, two]) {
      const [container] = await engine.settled(app, 1, ({ State }) => State.Health?.Status === "healthy");
      const { devices } = await eventually(async () => {
        const answer = await call("DeviceService/ListDevices", { device_group: group });
        return answer.devices?.[0]?.report?.apps?.[0]?.containers?.[0]?.health === "CONTAINER_HEALTH_HEALTHY" ? answer : false;
      });
      assert.equal(devices?.length, 1);
      const report = devices?.[0]?.report;
      assert.equal(report?.device_id, worker.deviceId);
      assert.equal(report?.worker_version, VERSION);
      assert.equal(report?.state, "TARGET_STATE_APPLIED");
      const status = report?.apps?.[0];
      assert.deepEqual([status?.name, status?.revision, status?.applied_revision, status?.state], [app, "1", "1", "TARGET_STATE_APPLIED"]);
      assert.equal(status?.containers?.[0]?.id, container?.Id);
      assert.equal(`/${status?.containers?.[0]?.name}`, container?.Name);
      const { NCPU, Architecture, ServerVersion } = { ...(await engine.docker.info()), ServerVersion: (await engine.docker.version()).Version };
      assert.equal(Number(report?.host?.cpu_cores), NCPU);
      assert.equal(report?.host?.arch, Architecture);
      assert.equal(report?.host?.engine_version, ServerVersion);
      for (const figure of ["memory_total_bytes", "memory_available_bytes", "disk_total_bytes", "disk_free_bytes", "uptime_seconds"]) {
        assert.ok(Number(report?.host?.[figure]) > 0, `${figure} is ${report?.host?.[figure]}`);
      }
    }
  });

  it("reports are kept, and listed by device, group and state, page by page", async () => {
    const app = await web(true);
    const [one, two] = [await device([app]), await device([app])];
    for (const { worker } of [one, two]) await rig.api.appStatus(worker.deviceId, app, ({ appliedRevision }) => appliedRevision === 1n);
    await rig.api.updateApp(app, { envVars: { TOKEN: SECRET, MORE: "1" } });
    await rig.api.appStatus(one.worker.deviceId, app, ({ appliedRevision }) => appliedRevision === 2n);

    const ofOne: Json[] = [];
    for (let token = ""; ; ) {
      const page = await call("ReportService/ListReports", { device_id: one.worker.deviceId, page_size: 1, page_token: token });
      assert.equal(page.reports?.length, 1);
      ofOne.push(...(page.reports ?? []));
      token = String(page.next_page_token);
      if (token === "") break;
    }
    assert.ok(ofOne.length >= 2, "one report at least for each revision");
    assert.ok(ofOne.every(({ report }) => report?.device_id === one.worker.deviceId && report.device_group === one.group));
    const order = ofOne.map(({ report }) => Number(report?.seq));
    assert.deepEqual(
      order,
      Array.from({ length: order.length }, (_, i) => i + 1),
      "every report of the boot, once, oldest first",
    );
    const newest = await rig.api.device(one.worker.deviceId);
    assert.ok(Number(newest?.report?.seq) >= order.length);

    const ofGroup = await call("ReportService/ListReports", { device_group: two.group, state: "TARGET_STATE_APPLIED" });
    assert.ok((ofGroup.reports?.length ?? 0) > 0);
    assert.ok(ofGroup.reports?.every(({ report }) => report?.device_id === two.worker.deviceId && report.state === "TARGET_STATE_APPLIED"));
  });

  it("reports announce an unhealthy container, and a device_group that does not exist", async () => {
    const app = await web(false);
    const { worker, group } = await device([app]);
    await eventually(async () => {
      const { device: found } = await call("DeviceService/GetDevice", { device_id: worker.deviceId });
      const status = found?.report?.apps?.[0];
      return status?.state === "TARGET_STATE_FAILED" || status?.containers?.[0]?.health === "CONTAINER_HEALTH_UNHEALTHY";
    });
    await rig.api.deleteGroup(group);
    await eventually(async () => {
      const { device: found } = await call("DeviceService/GetDevice", { device_id: worker.deviceId });
      return found?.report?.problems?.some(({ code }) => code === "no_such_group") === true;
    });
  });
});
