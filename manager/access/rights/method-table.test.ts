import { strict as assert } from "node:assert";
import { globSync } from "node:fs";
import { resolve } from "node:path";
import { create, type DescMethod, type DescService, type Message } from "@bufbuild/protobuf";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { pathOf } from "../../../common/rpc/service-definition.ts";
import { AppService, CreateAppRequestSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { ConfigService, WatchAndReportRequestSchema, WatchConfigRequestSchema } from "../../../gen/nebula/v1/config_pb.ts";
import { CreateDeviceGroupRequestSchema, DeviceGroupService } from "../../../gen/nebula/v1/device_group_pb.ts";
import { StatusService } from "../../../gen/nebula/v1/status_pb.ts";
import type { Caller } from "../authenticate.ts";
import { createGate } from "../gate.ts";
import type { Principal } from "../principal.ts";
import { configuredLogin } from "../verified-credentials.ts";
import { ruleOf } from "./method-table.ts";
import { ADMIN_RIGHTS, NO_RIGHTS } from "./rights.ts";

/** Every service there is, found in the generated code, not in the table. */
async function services(): Promise<DescService[]> {
  const found: DescService[] = [];
  for (const file of globSync("gen/**/*_pb.ts")) {
    const module: Record<string, unknown> = await import(resolve(file));
    for (const value of Object.values(module)) if (isService(value)) found.push(value);
  }
  return found;
}

function isService(value: unknown): value is DescService {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "service";
}

describe("method table", () => {
  it("the method table has a rule for every method of every service", async () => {
    const methods = (await services()).flatMap((service) => service.methods);
    assert.ok(methods.length > 30);
    assert.deepEqual(methods.filter((method) => ruleOf(method) === undefined).map(pathOf), []);
  });

  it("the method table leaves nothing public but health", async () => {
    const methods = (await services()).flatMap((service) => service.methods);
    const open = methods.filter((method) => ruleOf(method)?.kind === "public");
    assert.ok(open.every(({ parent }) => parent.typeName === "grpc.health.v1.Health"));
  });

  it("the method table finds the object of a call in its request", () => {
    const need = (method: DescMethod, request: Message) => {
      const rule = ruleOf(method);
      return rule?.kind === "guarded" ? rule.need(request) : undefined;
    };
    assert.deepEqual(need(AppService.method.createApp, create(CreateAppRequestSchema, { app: { name: "web" } })), {
      kind: "write",
      entity: { kind: "app", name: "web" },
    });
    assert.deepEqual(need(AppService.method.createApp, create(CreateAppRequestSchema, { app: { name: "web" }, minRevision: 0n })), { kind: "admin" });
    assert.deepEqual(need(DeviceGroupService.method.createDeviceGroup, create(CreateDeviceGroupRequestSchema, { minPruneId: 5n })), {
      kind: "admin",
    });
    const watch = { deviceGroup: "g", deviceId: "d" };
    const { watchAndReport } = ConfigService.method;
    assert.deepEqual(need(watchAndReport, create(WatchAndReportRequestSchema, { request: { case: "watch", value: watch } })), {
      kind: "device",
      devices: [watch],
    });
    for (const request of [{ case: "reports", value: {} } as const, { case: undefined }])
      assert.deepEqual(need(watchAndReport, create(WatchAndReportRequestSchema, { request })), { kind: "admin" });
    assert.deepEqual(need(ConfigService.method.watchConfig, create(WatchConfigRequestSchema, { deviceGroup: "g", deviceId: "d" })), {
      kind: "device",
      devices: [{ deviceGroup: "g", deviceId: "d" }],
    });
  });
});

for (const [how, answer] of [
  ["at once", (caller: Caller) => caller],
  ["after a while", async (caller: Caller) => caller],
] as const)
  describe(`gate, to a caller who is known ${how}`, () => {
    const gateFor = (principal: Principal) => createGate(() => answer({ principal, login: configuredLogin(principal), viaPart: false, peer: "p" }));
    const headers = { header: () => undefined };
    const refused = (error: unknown) => isNebulaError(error, "permission_denied");

    it("the gate lets an admin call everything but the methods that only the token of a device, or for one, may", async () => {
      const gate = gateFor({ kind: "user", name: "admin", rights: ADMIN_RIGHTS });
      const denied: string[] = [];
      for (const method of (await services()).flatMap((service) => service.methods)) {
        await Promise.try(() => gate(method, create(method.input), headers, "p")).catch((error) => {
          assert.ok(refused(error));
          denied.push(method.name);
        });
      }
      assert.deepEqual(denied.sort(), ["EnrollDevice", "RotateDeviceToken"]);
    });

    it("the gate lets the part token alone watch, ask for the shard map and the status, and check a credential, and nothing else that needs a login", async () => {
      const gate = gateFor({ kind: "part" });
      const allowed: string[] = [];
      for (const method of (await services()).flatMap((service) => service.methods)) {
        if (ruleOf(method)?.kind === "public") continue;
        await Promise.try(() => gate(method, create(method.input), headers, "p")).then(
          () => allowed.push(method.name),
          (error) => assert.ok(refused(error)),
        );
      }
      assert.deepEqual(allowed.sort(), ["Check", "GetShardMap", "GetStatus", "WatchAndReport", "WatchConfig"]);
    });

    it("the gate refuses a user without admin and permissions everything but what any credential may do", async () => {
      const gate = gateFor({ kind: "user", name: "eve", rights: NO_RIGHTS });
      await gate(StatusService.method.getStatus, create(StatusService.method.getStatus.input), headers, "p");
      const createApp = AppService.method.createApp;
      await assert.rejects(
        async () => gate(createApp, create(createApp.input, { app: { name: "web" } }), headers, "p"),
        (error) => refused(error) && /eve.*rw on the app web/.test(String(error)),
      );
    });

    it("the gate refuses a method that is missing in the table, an admin's call too", async () => {
      const gate = gateFor({ kind: "user", name: "admin", rights: ADMIN_RIGHTS });
      const method = Object.create(StatusService.method.getStatus, { name: { value: "NewMethod" } });
      await assert.rejects(async () => gate(method, create(StatusService.method.getStatus.input), headers, "p"), refused);
    });
  });
