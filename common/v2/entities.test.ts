import { strict as assert } from "node:assert";
import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { arbitraryApp, arbitraryCronJob, arbitraryDeviceGroup, arbitraryUserGroup } from "../testing/arbitrary-entities.ts";
import { normaliseApp, normaliseCronJob, normaliseDeviceGroup } from "../validation/normal-form.ts";
import { appFromV2, cronJobFromV2, deviceGroupFromV2, userGroupFromV2 } from "./entity-from-v2.ts";
import { appToV2, cronJobToV2, DEFAULT_NETWORKS, deviceGroupToV2, userGroupToV2 } from "./entity-to-v2.ts";

/** As it goes over the wire. */
function sent(shown: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(shown));
}

/** Without what only the server sets, and with v2's default networks where there are none. */
function writable<E extends { revision: bigint }>(entity: E, change: Partial<E> = {}): E {
  return { ...entity, revision: 0n, ...change };
}

function networksOf({ networks }: Readonly<{ networks: string[] }>): { networks: string[] } {
  return { networks: networks.length === 0 ? [...DEFAULT_NETWORKS] : networks };
}

describe("v2's objects", () => {
  it("an app that is shown, and written back, is the same", () => {
    fc.assert(
      fc.property(arbitraryApp, (app) => {
        const { message, faults } = appFromV2(app.name, sent(appToV2(app)));
        assert.deepEqual(faults, []);
        const expected = normaliseApp(writable(app, { restartCount: 0n, ...networksOf(app) }));
        assert.deepEqual(toJson(AppSchema, normaliseApp(message)), toJson(AppSchema, expected));
      }),
    );
  });

  it("an app that is stored with the key __proto__ is shown", () => {
    const envVars: Record<string, string> = JSON.parse('{"__proto__": "x"}');
    assert.equal(JSON.stringify(appToV2(create(AppSchema, { name: "web", envVars })).env_vars), '{"__proto__":"x"}');
  });

  it("a cron_job that is shown, and written back, is the same", () => {
    fc.assert(
      fc.property(arbitraryCronJob, (cronJob) => {
        const { message, faults } = cronJobFromV2(cronJob.name, sent(cronJobToV2(cronJob)));
        assert.deepEqual(faults, []);
        const expected = normaliseCronJob(writable(cronJob, networksOf(cronJob)));
        assert.deepEqual(toJson(CronJobSchema, normaliseCronJob(message)), toJson(CronJobSchema, expected));
      }),
    );
  });

  it("a device_group that is shown, and written back, is the same", () => {
    fc.assert(
      fc.property(arbitraryDeviceGroup, (group) => {
        const { message, faults } = deviceGroupFromV2(group.name, sent(deviceGroupToV2(group)));
        assert.deepEqual(faults, []);
        const expected = normaliseDeviceGroup(writable(group, { pruneId: 0n }));
        assert.deepEqual(toJson(DeviceGroupSchema, normaliseDeviceGroup(message)), toJson(DeviceGroupSchema, expected));
      }),
    );
  });

  it("a user_group that is shown, and written back, is the same", () => {
    fc.assert(
      fc.property(arbitraryUserGroup, (group) => {
        const { message, faults } = userGroupFromV2(group.name, sent(userGroupToV2(group)));
        assert.deepEqual(faults, []);
        assert.deepEqual(toJson(UserGroupSchema, message), toJson(UserGroupSchema, writable(group)));
      }),
    );
  });

  it("any input is read or reported as a fault, and nothing is thrown", () => {
    const body = fc.dictionary(
      fc.constantFrom(...AppSchema.fields.map(({ name }) => name), "schedule", "apps", "group_members", "unheard_of"),
      fc.jsonValue({ maxDepth: 3 }).map((value): JsonObject[string] => JSON.parse(JSON.stringify(value))),
    );
    fc.assert(
      fc.property(body, (given) => {
        for (const read of [appFromV2, cronJobFromV2, deviceGroupFromV2, userGroupFromV2]) {
          const { faults } = read("a", given);
          for (const fault of faults) if (fault.kind === "invalid") assert.notEqual(fault.violation.description, "");
        }
      }),
    );
  });

  it("only given fields count as given: no nulls, and no fields of the server", () => {
    const { given, faults } = appFromV2("web", {
      docker_image: "a",
      app_id: 3,
      revision: 4,
      name: "other",
      restart_count: 1,
      cpus: null,
      volumes: [],
    });
    assert.deepEqual([given, faults], [["docker_image", "volumes"], []]);
  });

  it("values of variables are in no fault", () => {
    const { faults } = appFromV2("web", { env_vars: { A: ["geheim"] }, secret_env_vars: { B: 5, C: { geheim: 1 } } });
    assert.equal(faults.length, 3);
    assert.doesNotMatch(JSON.stringify(faults), /geheim|5/);
  });
});
