import { strict as assert } from "node:assert";
import { clone, create } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import fc from "fast-check";
import { arbitraryApp } from "../../common/testing/arbitrary-entities.ts";
import { OUTPUT_ONLY } from "../../common/validation/normal-form.ts";
import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { updateFields } from "./update-fields.ts";

const WRITABLE = AppSchema.fields.map(({ name }) => name).filter((name) => name !== "name" && !OUTPUT_ONLY.app.includes(name));
const MAPS = ["env_vars", "labels", "tmpfs"];

function updated(stored: App, given: App, fields: readonly string[]): App {
  const update = updateFields(AppSchema, OUTPUT_ONLY.app, stored, given, fields);
  assert.ok(update.kind === "updated");
  return update.message;
}

function refused(fields: readonly string[]): string[] {
  const update = updateFields(AppSchema, OUTPUT_ONLY.app, create(AppSchema), create(AppSchema), fields);
  return update.kind === "invalid" ? update.violations.map(({ field, description }) => `${field}: ${description}`) : [];
}

/** The value of a field, for comparing. */
function fieldOf(app: App, name: string): unknown {
  const field = AppSchema.fields.find((known) => known.name === name);
  assert.ok(field);
  const only = create(AppSchema);
  const copy = reflect(AppSchema, clone(AppSchema, app));
  if (copy.isSet(field)) reflect(AppSchema, only).set(field, copy.get(field));
  return only;
}

const stored = create(AppSchema, {
  name: "web",
  revision: 41n,
  restartCount: 3n,
  dockerImage: "shop:1.4",
  running: false,
  envVars: { REGION: "eu", "a.b": "1" },
  networks: ["nebula"],
  logging: { driver: "none" },
});

describe("update_fields", () => {
  it("update_fields change the fields that they name, and nothing else", () => {
    const given = create(AppSchema, { name: "other", revision: 9n, restartCount: 9n, dockerImage: "shop:1.5", privileged: true });
    assert.deepEqual(updated(stored, given, ["docker_image"]), create(AppSchema, { ...stored, dockerImage: "shop:1.5" }));
  });

  it("update_fields give a named field that is absent its default", () => {
    const after = updated(stored, create(AppSchema, { name: "web" }), ["running", "networks", "logging", "env_vars", "docker_image"]);
    assert.deepEqual(after, create(AppSchema, { name: "web", revision: 41n, restartCount: 3n }));
  });

  it("update_fields change single keys of a map: all after the first dot", () => {
    const given = create(AppSchema, { envVars: { REGION: "us", "a.b": "2", OTHER: "x" } });
    assert.deepEqual({ ...updated(stored, given, ["env_vars.REGION", "env_vars.a.b"]).envVars }, { REGION: "us", "a.b": "2" });
    assert.deepEqual({ ...updated(stored, create(AppSchema), ["env_vars.REGION", "env_vars.NONE"]).envVars }, { "a.b": "1" });
    assert.deepEqual({ ...updated(stored, given, ["labels.OTHER"]).labels }, {});
    assert.deepEqual({ ...updated(stored, create(AppSchema, { tmpfs: { "/a.b": "" } }), ["tmpfs./a.b"]).tmpfs }, { "/a.b": "" });
  });

  it("update_fields with * are every writable field, those of a newer version included", () => {
    const newer = clone(AppSchema, stored);
    newer.$unknown = [{ no: 500, wireType: 0, data: Uint8Array.of(1) }];
    assert.deepEqual(updated(newer, create(AppSchema), ["docker_image"]).$unknown, newer.$unknown);
    const after = updated(newer, create(AppSchema, { name: "x", dockerImage: "shop:2" }), ["*"]);
    assert.deepEqual(after, create(AppSchema, { name: "web", revision: 41n, restartCount: 3n, dockerImage: "shop:2" }));
  });

  it("update_fields are refused if they name no field that can be changed, each with an alternative", () => {
    const told = refused([
      "docker_imag",
      "revision",
      "restart_count",
      "name",
      "healthcheck.test",
      "env_vars.",
      "dockerImage",
      "x.y",
      "",
      "docker_image",
    ]);
    assert.deepEqual(
      told.map((line) => line.split(":")[0]),
      [0, 1, 2, 3, 4, 5, 6, 7, 8].map((index) => `update_fields[${index}]`),
    );
    assert.match(told.join("\n"), /unknown field "docker_imag"; use docker_image/);
    assert.match(told.join("\n"), /"revision" is set by the server/);
    assert.match(told.join("\n"), /healthcheck can only be changed as a whole/);
    assert.match(told.join("\n"), /unknown field "dockerImage"; use docker_image/);
  });

  it("update_fields take every field from the stored or the given message, for any stored, given and named fields", () => {
    const whole = fc.subarray(WRITABLE.filter((name) => !MAPS.includes(name)));
    const maps = fc.subarray(MAPS);
    fc.assert(
      fc.property(arbitraryApp, arbitraryApp, whole, maps, fc.boolean(), (before, given, named, namedMaps, all) => {
        const [storedCopy, givenCopy] = [clone(AppSchema, before), clone(AppSchema, given)];
        const fields = [...named, ...namedMaps, ...(all ? ["*"] : [])];
        const after = updated(before, given, fields);
        for (const name of WRITABLE) assert.deepEqual(fieldOf(after, name), fieldOf(all || fields.includes(name) ? given : before, name), name);
        for (const name of ["name", ...OUTPUT_ONLY.app]) assert.deepEqual(fieldOf(after, name), fieldOf(before, name), name);
        assert.deepEqual(updated(after, given, fields), after, "a second time changes nothing");
        assert.deepEqual([before, given], [storedCopy, givenCopy], "what came in is as it was");
      }),
    );
  });

  it("update_fields merge keys of maps one by one, for any keys", () => {
    const pairs = fc.dictionary(fc.string({ minLength: 1, maxLength: 4 }), fc.string({ maxLength: 3 }), { maxKeys: 5 });
    fc.assert(
      fc.property(pairs, pairs, fc.array(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 5 }), (before, given, more) => {
        const keys = [...Object.keys(given).slice(0, 3), ...Object.keys(before).slice(0, 2), ...more];
        const after = updated(
          create(AppSchema, { envVars: before }),
          create(AppSchema, { envVars: given }),
          keys.map((key) => `env_vars.${key}`),
        );
        const expected = new Map(Object.entries(before));
        for (const key of keys) {
          const value = Object.hasOwn(given, key) ? given[key] : undefined;
          if (value === undefined) expected.delete(key);
          else expected.set(key, value);
        }
        assert.deepEqual(new Map(Object.entries(after.envVars)), expected);
      }),
    );
  });
});
