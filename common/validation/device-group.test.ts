import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { validateDeviceGroup } from "./device-group.ts";

const fieldsOf = (fields: MessageInitShape<typeof DeviceGroupSchema>) =>
  validateDeviceGroup(create(DeviceGroupSchema, { name: "pos", ...fields })).map(({ field }) => field);
const names = (count: number) => Array.from({ length: count }, (_, index) => `app-${index}`);

describe("a device_group", () => {
  it("a device_group may be empty", () => assert.deepEqual(fieldsOf({}), []));
  it("a device_group may name 1000 apps and 1000 cron_jobs", () => assert.deepEqual(fieldsOf({ apps: names(1000), cronJobs: names(1000) }), []));
  it("a device_group may not name more than 1000 apps or cron_jobs", () =>
    assert.deepEqual(fieldsOf({ apps: names(1001), cronJobs: names(1001) }), ["apps", "cron_jobs"]));
  it("a device_group may not name one twice", () =>
    assert.deepEqual(fieldsOf({ apps: ["a", "b", "a"], cronJobs: ["a", "a"] }), ["apps[2]", "cron_jobs[1]"]));
  it("a device_group may not have a member of an invalid name", () => assert.deepEqual(fieldsOf({ apps: ["a/b", ""] }), ["apps[0]", "apps[1]"]));
  it("a device_group may not be spread over thousands of shards", () => assert.deepEqual(fieldsOf({ spread: 1001 }), ["spread"]));
});
