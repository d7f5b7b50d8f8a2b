import { strict as assert } from "node:assert";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { encodeCanonical } from "./canonical-encoding.ts";
import { etagOf } from "./etag.ts";

const keys = fc.oneof(fc.string(), fc.nat(20).map(String), fc.constant("__proto__")); // an object lists whole numbers first
const entries = fc.uniqueArray(fc.tuple(keys, fc.string()), { selector: ([key]) => key, maxLength: 8 });

function configWith(pairs: readonly (readonly [string, string])[]): Config {
  return create(ConfigSchema, {
    deviceGroup: "pos",
    apps: [
      {
        name: "web",
        revision: 3n,
        app: { name: "web", envVars: Object.fromEntries(pairs), logging: { driver: "json-file", options: Object.fromEntries(pairs) } },
      },
    ],
  });
}

describe("encodeCanonical", () => {
  it("encodeCanonical gives equal messages equal bytes, in any order in which their maps were made", () => {
    fc.assert(
      fc.property(
        entries.chain((pairs) => fc.tuple(fc.constant(pairs), fc.shuffledSubarray(pairs, { minLength: pairs.length }))),
        ([pairs, shuffled]) => {
          const a = encodeCanonical(ConfigSchema, configWith(pairs));
          const b = encodeCanonical(ConfigSchema, configWith(shuffled));
          assert.deepEqual(a, b);
          assert.equal(etagOf(a), etagOf(b));
          assert.deepEqual({ ...fromBinary(ConfigSchema, a).apps[0]?.app?.envVars }, Object.fromEntries(pairs));
        },
      ),
    );
  });

  it("encodeCanonical sorts maps of messages inside lists too, in all that a config can hold", () => {
    const containersOf = (order: readonly string[]) => configWith(order.map((key) => [key, "x"])).apps;
    const a = create(ConfigSchema, { apps: [...containersOf(["b", "a"]), ...containersOf(["d", "c"])] });
    const b = create(ConfigSchema, { apps: [...containersOf(["a", "b"]), ...containersOf(["c", "d"])] });
    assert.notDeepEqual(toBinary(ConfigSchema, a), toBinary(ConfigSchema, b));
    assert.deepEqual(encodeCanonical(ConfigSchema, a), encodeCanonical(ConfigSchema, b));
  });

  it("encodeCanonical tells different messages apart", () => {
    fc.assert(
      fc.property(entries, entries, (one, other) => {
        const same = equals(ConfigSchema, configWith(one), configWith(other));
        assert.equal(etagOf(encodeCanonical(ConfigSchema, configWith(one))) === etagOf(encodeCanonical(ConfigSchema, configWith(other))), same);
      }),
    );
  });

  it("encodeCanonical keeps fields that this version does not know", () => {
    const unknown = Uint8Array.from([0xca, 0x3e, 0x02, 0x68, 0x69]); // field 1001, "hi"
    const app = fromBinary(AppSchema, Uint8Array.from([...toBinary(AppSchema, create(AppSchema, { name: "web" })), ...unknown]));
    assert.deepEqual(encodeCanonical(AppSchema, app).slice(-unknown.length), unknown);
  });

  it("encodeCanonical leaves its argument alone", () => {
    const app = create(AppSchema, { envVars: { b: "1", a: "2" } });
    encodeCanonical(AppSchema, app);
    assert.deepEqual(Object.keys(app.envVars), ["b", "a"]);
  });
});

describe("etagOf", () => {
  it("an etag is 16 bytes of SHA-256 in base64url", () => {
    assert.equal(etagOf(new Uint8Array()), "47DEQpj8HBSa-_TImW-5JA");
  });
});
