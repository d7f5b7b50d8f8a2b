import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { validateDeviceGroup } from "./device-group.ts";

const fieldsOf = (fields: MessageInitShape<typeof DeviceGroupSchema>) =>
  validateDeviceGroup(create(DeviceGroupSchema, { name: "pos", ...fields })).map(({ field }) => field);
const names = (count: number) => Array.from({ length: count }, (_, index) => `app-${index}`);

describe("a device_group", () => {
  it("may be empty", () => assert.deepEqual(fieldsOf({}), []));
  it("may name 1000 apps and 1000 cron_jobs", () => assert.deepEqual(fieldsOf({ apps: names(1000), cronJobs: names(1000) }), []));
  it("may not name more", () => assert.deepEqual(fieldsOf({ apps: names(1001), cronJobs: names(1001) }), ["apps", "cron_jobs"]));
  it("may not name one twice", () => assert.deepEqual(fieldsOf({ apps: ["a", "b", "a"], cronJobs: ["a", "a"] }), ["apps[2]", "cron_jobs[1]"]));
  it("may not name what can't be a name", () => assert.deepEqual(fieldsOf({ apps: ["a/b", ""] }), ["apps[0]", "apps[1]"]));
  it("may not be spread over thousands of shards", () => assert.deepEqual(fieldsOf({ spread: 1001 }), ["spread"]));
});
