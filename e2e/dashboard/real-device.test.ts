import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { FOREVER } from "../harness/engine.ts";
import { Worker } from "../harness/worker.ts";
import { DashboardRig } from "./dashboard-rig.ts";

/** An image that no engine has, of a registry that does not exist. */
const ABSENT = "127.0.0.1:9/shop:7";

describe("changes of a real device in a browser", function () {
  this.timeout(120_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1", command: FOREVER, envVars: { LEVEL: "info" } });
    await api.createGroup("pos", ["web"]);
  });
  let worker: Worker;
  before(async function () {
    this.timeout(60_000);
    await requireDocker(this);
    worker = rig.use(await Worker.start({ server: rig.server, deviceGroup: "pos" }));
    await rig.api.appStatus(worker.deviceId, "web", ({ state }) => state === TargetState.APPLIED);
  });

  const envOf = async () => (await worker.engine.running("web")).map(({ Config }) => Config.Env?.find((entry) => entry.startsWith("LEVEL=")));

  it("a change of a real device is followed to its verdict, one that its engine fails says the engine's words, and a newer one lands", async () => {
    const tab = await rig.open();
    await tab.login();
    const { revision } = await rig.api.updateApp("web", { envVars: { LEVEL: "debug" } });
    await tab.page.goto(`${rig.server.url}/ui/changes/app/web/${revision}`);
    await tab.page.getByText("Every online device has it").waitFor();
    await tab.page.getByText(`1 of 1 online devices run revision ${revision} or newer`).waitFor();
    assert.deepEqual(await envOf(), ["LEVEL=debug"]);

    const broken = await rig.api.updateApp("web", { dockerImage: ABSENT, pullPolicy: PullPolicy.ALWAYS });
    await tab.page.goto(`${rig.server.url}/ui/changes/app/web/${broken.revision}`);
    await tab.page.getByText("Some devices failed").waitFor({ timeout: 60_000 });
    const { reason } = await rig.api.appStatus(worker.deviceId, "web", ({ state }) => state === TargetState.FAILED);
    assert.match(reason, /refused|no such host|dial tcp/);
    await eventually(async () => assert.ok((await tab.page.locator(".failed-devices").innerText()).includes(reason)));
    assert.deepEqual(await envOf(), ["LEVEL=debug"], "the containers of before run on");
    await tab.page.getByRole("link", { name: worker.deviceId, exact: true }).click();
    await tab.page.locator(".link-stuck").getByText(ABSENT).first().waitFor();

    const changes = { dockerImage: "busybox:1", pullPolicy: PullPolicy.MISSING, envVars: { LEVEL: "warn" } };
    const repaired = await rig.api.updateApp("web", changes);
    await eventually(async () => assert.equal(await tab.page.locator(".link-stuck").count(), 0), { timeoutMs: 30_000 });
    const [container] = await worker.engine.settled("web", 1, ({ Config }) => Config.Env?.includes("LEVEL=warn") === true);
    await tab.page.getByRole("cell", { name: container?.Name.slice(1) ?? "", exact: true }).waitFor();
    await tab.page.goto(`${rig.server.url}/ui/changes/app/web/${repaired.revision}`);
    await tab.page.getByText("Every online device has it").waitFor();
    tab.assertNoFaults();
  });
});
