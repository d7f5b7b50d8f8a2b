import { strict as assert } from "node:assert";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { ADMIN, type ManagerRig, startManagerRig } from "../testing/manager-rig.ts";
import { putTestUser, putTestUserGroup } from "../testing/test-access.ts";

describe("a create whose name differs in case alone from another of its kind", () => {
  let rig: ManagerRig;
  before(async () => {
    rig = await startManagerRig();
  });
  after(() => rig[Symbol.asyncDispose]());

  /** Creates one of each kind; answers the warnings by kind. */
  async function create(name: string, headers: Readonly<Record<string, string>> = ADMIN) {
    const channel = rig.channel();
    return {
      app: (await channel.unary(AppService.method.createApp, { app: { name, dockerImage: "nginx:1" } }, { headers })).warnings,
      cron_job: (
        await channel.unary(CronJobService.method.createCronJob, { cronJob: { name, schedule: "@daily", dockerImage: "nginx:1" } }, { headers })
      ).warnings,
      device_group: (await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name } }, { headers })).warnings,
    };
  }

  it("a create whose name differs in case alone gets a warning that names the other, of every kind, and succeeds", async () => {
    const channel = rig.channel();
    const access = async (name: string) => ({
      user: (await channel.unary(UserService.method.createUser, { name }, { headers: ADMIN })).warnings,
      user_group: (await channel.unary(UserGroupService.method.createUserGroup, { userGroup: { name } }, { headers: ADMIN })).warnings,
    });
    await putTestUserGroup(rig.drivers.accessStore, "all", ["shop", "Shop"], {}); // so the users are in one
    const first = { ...(await create("shop")), ...(await access("shop")) };
    assert.deepEqual(Object.values(first).flat(), []);
    const second = { ...(await create("Shop")), ...(await access("Shop")) };
    const warning = (kind: string) => [`${kind} Shop differs in case alone from shop: if it is meant to be the same, delete one of them`];
    assert.deepEqual(second, Object.fromEntries(Object.keys(second).map((kind) => [kind, warning(kind)])));
  });

  it("a create is not warned of names that the caller may not read", async () => {
    await create("office");
    const rw = { "Office*": "rw" };
    await putTestUser(rig.drivers.accessStore, "bob", { token: "token-of-bob", apps: rw, cronJobs: rw, deviceGroups: rw });
    assert.deepEqual(Object.values(await create("Office", { authorization: "Bearer token-of-bob" })).flat(), []);
  });
});
