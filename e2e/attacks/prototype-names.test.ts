import { strict as assert } from "node:assert";
import { type DescMessage, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { asAdmin } from "../../cli/nebulactl/testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../cli/nebulactl/testing/test-server.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { AppService, CreateAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CreateCronJobRequestSchema, CronJobService } from "../../gen/nebula/v1/cron_job_pb.ts";
import { CreateDeviceGroupRequestSchema, DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { CreateUserGroupRequestSchema, UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";

const AUTHORIZATION = `Bearer ${ADMIN.token}`;
const REFUSAL = /invalid name \\?"__proto__\\?"/;

/** An object that has the key itself, as a JSON text makes one. */
const HELD: JsonObject = JSON.parse('{"__proto__": "rw"}');

const APP = { docker_image: "busybox:1" };
const CRON_JOB = { docker_image: "busybox:1", schedule: "@daily" };

/** Where a name or a key can be `__proto__`. */
const PLACES: readonly Readonly<{ kind: "app" | "cron_job" | "device_group" | "user_group"; name: string; fields: JsonObject }>[] = [
  { kind: "app", name: "__proto__", fields: APP },
  { kind: "cron_job", name: "__proto__", fields: CRON_JOB },
  { kind: "device_group", name: "__proto__", fields: {} },
  { kind: "user_group", name: "__proto__", fields: {} },
  ...["env_vars", "secret_env_vars", "labels", "tmpfs"].flatMap((field) => [
    { kind: "app", name: "web", fields: { ...APP, [field]: HELD } } as const,
    { kind: "cron_job", name: "clean", fields: { ...CRON_JOB, [field]: HELD } } as const,
  ]),
  { kind: "app", name: "web", fields: { ...APP, logging: { driver: "json-file", options: HELD } } },
  { kind: "device_group", name: "pos", fields: { apps: ["__proto__"] } },
  { kind: "device_group", name: "pos", fields: { cron_jobs: ["__proto__"] } },
  { kind: "user_group", name: "crew", fields: { group_members: ["__proto__"] } },
  ...["apps", "cron_jobs", "device_groups"].map((field) => ({ kind: "user_group", name: "crew", fields: { [field]: HELD } }) as const),
];

const CREATES = {
  app: { method: AppService.method.createApp, schema: CreateAppRequestSchema, noun: "apps" },
  cron_job: { method: CronJobService.method.createCronJob, schema: CreateCronJobRequestSchema, noun: "cron_jobs" },
  device_group: { method: DeviceGroupService.method.createDeviceGroup, schema: CreateDeviceGroupRequestSchema, noun: "device_groups" },
  user_group: { method: UserGroupService.method.createUserGroup, schema: CreateUserGroupRequestSchema, noun: "user_groups" },
} as const;

/** nebulactl's command lines with such a name or key. */
const COMMANDS: readonly (readonly string[])[] = [
  ["apps", "create", "__proto__", "-i", "busybox:1"],
  ["users", "create", "__proto__"],
  ...["--env", "--label"].map((flag) => ["apps", "create", "web", "-i", "busybox:1", flag, "__proto__=x"]),
  ["apps", "create", "web", "-i", "busybox:1", "--env_vars", "__proto__:x"],
  ["apps", "create", "web", "-i", "busybox:1", "--tmpfs", "__proto__:size=1m"],
  ["apps", "create", "web", "-i", "busybox:1", "--log-driver", "json-file", "--log-opt", "__proto__=x"],
  ["user-groups", "create", "crew", "--apps", "__proto__:rw"],
  ["user-groups", "create", "crew", "--grant", "app/__proto__:rw"],
  ["user-groups", "create", "crew", "--members", "__proto__"],
];

describe("the name __proto__", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });
  const nebulactl = asAdmin(() => server);

  async function posted(path: string, type: string, body: BodyInit): Promise<string> {
    const response = await fetch(`${server.http}${path}`, { method: "POST", headers: { authorization: AUTHORIZATION, "content-type": type }, body });
    const text = await response.text();
    assert.equal(response.status, 400, `${path}: ${text}`);
    return text;
  }

  for (const place of PLACES) {
    const { kind, name, fields } = place;
    const { method, schema, noun } = CREATES[kind];
    const json: JsonObject = { [kind]: { name, ...fields } };
    const bytes = () => {
      const request: DescMessage = schema;
      return new Uint8Array(toBinary(request, fromJson(request, json)));
    };

    it(`the name __proto__ is refused by each door in ${JSON.stringify(json)}`, async () => {
      assert.match(await posted(`/api/v2/${noun}/${name}`, "application/json", JSON.stringify(fields)), REFUSAL, "REST v2");
      assert.match(await posted(pathOf(method), "application/json", JSON.stringify(json)), REFUSAL, "Connect JSON");
      assert.match(await posted(pathOf(method), "application/proto", bytes()), REFUSAL, "Connect");
      using channel = new GrpcChannel(server.grpc.replace("grpc://", ""), credentials.createInsecure(), {});
      const request: Promise<unknown> = callOf(channel, kind, json);
      await assert.rejects(request, (error) => isNebulaError(error, "invalid_argument") && REFUSAL.test(error.message), "gRPC");
      await nebulactl.refused(["apply", "-f", "-"], REFUSAL, { stdin: JSON.stringify({ kind, name, ...fields }) });
    });
  }

  function callOf(channel: GrpcChannel, kind: keyof typeof CREATES, json: JsonObject): Promise<unknown> {
    const call = { headers: { authorization: AUTHORIZATION }, timeoutMs: 10_000 };
    switch (kind) {
      case "app":
        return channel.unary(CREATES.app.method, fromJson(CREATES.app.schema, json), call);
      case "cron_job":
        return channel.unary(CREATES.cron_job.method, fromJson(CREATES.cron_job.schema, json), call);
      case "device_group":
        return channel.unary(CREATES.device_group.method, fromJson(CREATES.device_group.schema, json), call);
      case "user_group":
        return channel.unary(CREATES.user_group.method, fromJson(CREATES.user_group.schema, json), call);
    }
  }

  for (const command of COMMANDS) {
    it(`the name __proto__ is refused by nebulactl ${command.join(" ")}`, async () => {
      const { code, out, err } = await nebulactl.run(command);
      assert.deepEqual({ code, out }, { code: 1, out: "" });
      assert.match(err, REFUSAL);
    });
  }
});
