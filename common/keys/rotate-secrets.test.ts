import { strict as assert } from "node:assert";
import { create, fromBinary } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { encodeCanonical } from "../config/canonical-encoding.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { openSecretEnvVars, sealSecretEnvVars } from "../secrets/secret-env-vars.ts";
import { deriveSecretKeys } from "../secrets/secret-keys.ts";
import { requireReadable, rotateBody } from "./rotate-secrets.ts";

const from = deriveSecretKeys("an old cluster key");
const to = deriveSecretKeys("a new cluster key");
const lost = deriveSecretKeys("a lost cluster key");
const rotation = { from, to };

function appBody(values: Readonly<Record<string, string>>, keys = from) {
  const app = create(AppSchema, { name: "web", dockerImage: "a:1", envVars: { B: "2", A: "1" }, secretEnvVars: { ...values } });
  sealSecretEnvVars(keys, { kind: "app", name: "web" }, app.secretEnvVars);
  return { kind: "app", name: "web", revision: 7n, body: encodeCanonical(AppSchema, app) } as const;
}

describe("turning secret values over to a new key", () => {
  it("a rotation of secret values seals every value under the new key, changes nothing else, and is idempotent", () => {
    const stored = appBody({ TOKEN: "hunter2", PIN: "" });
    const body = rotateBody(rotation, stored).body ?? assert.fail("nothing was turned");
    const [before, after] = [stored.body, body].map((bytes) => fromBinary(AppSchema, bytes));
    assert.ok(before !== undefined && after !== undefined);
    for (const value of Object.values(after.secretEnvVars)) assert.ok(value.startsWith(`nebula-sealed:1:${to.id}:`));
    openSecretEnvVars(from, { kind: "app", name: "web" }, before.secretEnvVars);
    openSecretEnvVars(to, { kind: "app", name: "web" }, after.secretEnvVars);
    assert.deepEqual(after, before);
    assert.deepEqual(rotateBody(rotation, { ...stored, body }), { body: undefined, unreadable: 0 });
  });

  it("a rotation of secret values resumes where some values of a body were sealed under the new key already", () => {
    const app = fromBinary(AppSchema, appBody({ A: "old" }).body);
    Object.assign(app.secretEnvVars, fromBinary(AppSchema, appBody({ B: "new" }, to).body).secretEnvVars);
    const { body } = rotateBody(rotation, { kind: "app", name: "web", body: encodeCanonical(AppSchema, app) });
    const after = fromBinary(AppSchema, body ?? new Uint8Array());
    openSecretEnvVars(to, { kind: "app", name: "web" }, after.secretEnvVars);
    assert.deepEqual(after.secretEnvVars, { A: "old", B: "new" });
  });

  it("a rotation of secret values includes cron_jobs, and leaves entities without secret values", () => {
    const job = create(CronJobSchema, { name: "web", schedule: "@daily", secretEnvVars: { A: "1" } });
    sealSecretEnvVars(from, { kind: "cron_job", name: "web" }, job.secretEnvVars);
    const stored = { kind: "cron_job", name: "web", body: encodeCanonical(CronJobSchema, job) } as const;
    assert.ok(rotateBody(rotation, stored).body);
    const none = { body: undefined, unreadable: 0 };
    assert.deepEqual(rotateBody(rotation, appBody({})), none);
    assert.deepEqual(rotateBody(rotation, { kind: "device_group", name: "g", body: Buffer.from("any bytes") }), none);
  });

  it("a rotation of secret values leaves values that open under neither key, and counts them", () => {
    const stored = appBody({ TOKEN: "hunter2" }, lost);
    assert.deepEqual(rotateBody(rotation, stored), { body: undefined, unreadable: 1 });
    assert.deepEqual(rotateBody(rotation, { ...stored, body: Buffer.from("damaged") }), { body: undefined, unreadable: 1 });
  });

  it("a rotation of secret values can be refused beforehand where a value that counts would stay behind", () => {
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
