import { strict as assert } from "node:assert";
import { eventually } from "../../common/testing/eventually.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import { DashboardRig } from "./dashboard-rig.ts";

const DEVICES = 12;

describe("the overview of the dashboard in a browser", function () {
  this.timeout(60_000);
  const rig = DashboardRig.describe(async ({ api }) => {
    await api.createApp({ name: "web", dockerImage: "busybox:1" });
    // two apps of one host port: the second is refused it, so its devices fail
    for (const name of ["till", "kiosk"])
      await api.createApp({ name, dockerImage: "busybox:1", startingPorts: [{ hostPort: 80, containerPort: 80 }] });
    await api.createGroup("pos", ["web"]);
    await api.createGroup("kiosks", ["till", "kiosk"]);
  });

  const overview = async () => {
    const { channel, headers } = rig.api;
    return await channel.unary(FleetService.method.getOverview, {}, { headers, timeoutMs: 10_000 });
  };

  it("the overview shows the numbers of the API, and follows them", async () => {
    await rig.devices("pos", DEVICES);
    await rig.devices("kiosks", 3);
    await eventually(
      async () => {
        const { states } = (await overview()).fleet ?? {};
        assert.deepEqual([states?.applied, states?.failed], [BigInt(DEVICES), 3n]);
      },
      { timeoutMs: 40_000, everyMs: 100 },
    );
    const tab = await rig.open();
    await tab.login();
    const { fleet, groups } = await overview();
    assert.equal(groups.length, 2);
    await eventually(async () => {
      assert.equal(await tab.number(/^[\d,]+ devices$/), DEVICES + 3);
      assert.equal(await tab.number(/^[\d,]+ applied$/), Number(fleet?.states?.applied));
      assert.equal(await tab.number(/^[\d,]+ failed$/), 3);
      assert.equal(await tab.number(/devices of pos$/), DEVICES);
    });
    await rig.api.updateApp("web", { dockerImage: "busybox:2" });
    await tab.page.getByText("revision 2").waitFor();
    tab.assertNoFaults();
  });
});
