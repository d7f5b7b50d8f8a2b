import { strict as assert } from "node:assert";
import { create, fromBinary } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { encodeCanonical } from "../config/canonical-encoding.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { openSecretEnvVars, sealSecretEnvVars } from "./secret-env-vars.ts";
import { deriveSecretKeys } from "./secret-keys.ts";
import { requireReadable, turnOverBody } from "./turn-over.ts";

const from = deriveSecretKeys("an old cluster key");
const to = deriveSecretKeys("a new cluster key");
const lost = deriveSecretKeys("a lost cluster key");
const turn = { from, to };

function appBody(values: Readonly<Record<string, string>>, keys = from) {
  const app = create(AppSchema, { name: "web", dockerImage: "a:1", envVars: { B: "2", A: "1" }, secretEnvVars: { ...values } });
  sealSecretEnvVars(keys, { kind: "app", name: "web" }, app.secretEnvVars);
  return { kind: "app", name: "web", revision: 7n, body: encodeCanonical(AppSchema, app) } as const;
}

describe("turning secret values over to a new key", () => {
  it("seals every value anew, changes nothing else, and knows its own work", () => {
    const stored = appBody({ TOKEN: "hunter2", PIN: "" });
    const body = turnOverBody(turn, stored).body ?? assert.fail("nothing was turned");
    const [before, after] = [stored.body, body].map((bytes) => fromBinary(AppSchema, bytes));
    assert.ok(before !== undefined && after !== undefined);
    for (const value of Object.values(after.secretEnvVars)) assert.ok(value.startsWith(`nebula-sealed:1:${to.id}:`));
    openSecretEnvVars(from, { kind: "app", name: "web" }, before.secretEnvVars);
    openSecretEnvVars(to, { kind: "app", name: "web" }, after.secretEnvVars);
    assert.deepEqual(after, before);
    assert.deepEqual(turnOverBody(turn, { ...stored, body }), { body: undefined, unreadable: 0 });
  });

  it("goes on where some values of a body were turned over", () => {
    const app = fromBinary(AppSchema, appBody({ A: "old" }).body);
    Object.assign(app.secretEnvVars, fromBinary(AppSchema, appBody({ B: "new" }, to).body).secretEnvVars);
    const { body } = turnOverBody(turn, { kind: "app", name: "web", revision: 1n, body: encodeCanonical(AppSchema, app) });
    const after = fromBinary(AppSchema, body ?? new Uint8Array());
    openSecretEnvVars(to, { kind: "app", name: "web" }, after.secretEnvVars);
    assert.deepEqual(after.secretEnvVars, { A: "old", B: "new" });
  });

  it("does so for cron_jobs, and leaves what has none", () => {
    const job = create(CronJobSchema, { name: "web", schedule: "@daily", secretEnvVars: { A: "1" } });
    sealSecretEnvVars(from, { kind: "cron_job", name: "web" }, job.secretEnvVars);
    const stored = { kind: "cron_job", name: "web", revision: 1n, body: encodeCanonical(CronJobSchema, job) } as const;
    assert.ok(turnOverBody(turn, stored).body);
    const none = { body: undefined, unreadable: 0 };
    assert.deepEqual(turnOverBody(turn, appBody({})), none);
    assert.deepEqual(turnOverBody(turn, { kind: "device_group", name: "g", revision: 1n, body: Buffer.from("whatever") }), none);
  });

  it("leaves what opens under neither key, and counts it", () => {
    const stored = appBody({ TOKEN: "hunter2" }, lost);
    assert.deepEqual(turnOverBody(turn, stored), { body: undefined, unreadable: 1 });
    assert.deepEqual(turnOverBody(turn, { ...stored, body: Buffer.from("damaged") }), { body: undefined, unreadable: 1 });
  });

  it("can be refused beforehand where a value that counts would stay behind", () => {
    for (const stored of [appBody({ A: "1" }), appBody({ A: "1" }, to), appBody({})]) assert.doesNotThrow(() => requireReadable(from, to, stored));
    for (const stored of [appBody({ TOKEN: "hunter2" }, lost), { ...appBody({}), body: Buffer.from("hunter2") }]) {
      assert.throws(
        () => requireReadable(from, to, stored),
        (error) => isNebulaError(error, "failed_precondition") && /app web/.test(error.message) && !error.message.includes("hunter2"),
      );
    }
    assert.throws(() => requireReadable(from, undefined, appBody({ A: "1" }, to)), /secret_env_vars\.A of app web/);
  });
});
