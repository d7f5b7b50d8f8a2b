import { strict as assert } from "node:assert";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { build, stop } from "esbuild";
import fc from "fast-check";
import { printResource } from "../../../common/resources/print-resource.ts";
import { readYaml } from "../../../common/resources/yaml-tree.ts";
import { arbitraryApp } from "../../../common/testing/arbitrary-entities.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../../gen/nebula/v1/container_pb.ts";
import { descriptorsAsText, enumsAsConstants, unusedLeftOut } from "./lighter-sources.ts";

/** What a program that was made of these modules exports. @param plugins those of the build of the page, or none */
async function made(contents: string, plugins: NonNullable<Parameters<typeof build>[0]["plugins"]>) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL("../../../", import.meta.url)), loader: "ts" },
    plugins,
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  const [script] = outputFiles;
  if (script === undefined) return assert.fail("esbuild made nothing");
  return {
    bytes: script.contents.byteLength,
    exported: await import(`data:text/javascript;base64,${Buffer.from(script.contents).toString("base64")}`),
  };
}

const LIGHTER = [descriptorsAsText, enumsAsConstants, unusedLeftOut];

const YAML = `
  export { readYaml } from "./common/resources/yaml-tree.ts";
  export { printResource } from "./common/resources/print-resource.ts";
`;

const API = `
  import { fromBinary, toBinary } from "@bufbuild/protobuf";
  import { AppSchema } from "./gen/nebula/v1/app_pb.ts";
  export const again = (bytes) => toBinary(AppSchema, fromBinary(AppSchema, bytes));
  export const fields = AppSchema.fields.map(({ name, fieldKind }) => name + " " + fieldKind);
`;

const TEXTS = [
  ...["kind: app\nname: web\nports: [80, 0x50, 0o17, 1e3, .5, .inf, -.nan]\n", "a: yes\nb: no\nc: true\nd: ~\ne: null\nf:\n"],
  ...["a: 2001-12-14\nb: 12:30:45\n", "a: &x {b: 1}\nc: *x\n<<: *x\n", "a: !!str 5\nb: !!int '5'\nc: !other 5\n", "a: *nowhere\n"],
  ...["a: |\n  two\n  lines\nb: >-\n  folded\n  text\n", "a: 'it''s'\nb: \"\\u263a\\n\"\n", "a: 1\na: 2\n", "a: [1\n", "a:\n\t- b\n"],
  ...["? [a]\n: b\n", "a: 1\n---\nb: 2\n...\n", ""],
];

/** With tags of YAML 1.1, which the page does not know. */
const REFUSED = ["a: !!binary aGk=\n", "a: !!set {x, y}\n", "!!omap [a: 1]\n", "a: !!timestamp 2001-12-14\n"];

describe("the sources of the page, once they are lighter", function () {
  this.timeout(60_000);
  after(() => stop());

  it("YAML is read and printed as everywhere else, and tags of YAML 1.1 are refused", async () => {
    const { exported } = await made(YAML, LIGHTER);
    for (const text of TEXTS) assert.deepEqual(exported.readYaml(text), readYaml(text), text);
    for (const text of REFUSED) assert.equal(exported.readYaml(text).kind, "invalid", text);
    const check = fc.property(arbitraryApp, (app) => {
      const text = printResource({ kind: "app", app });
      assert.equal(exported.printResource({ kind: "app", app }), text);
      assert.deepEqual(exported.readYaml(text), readYaml(text));
    });
    fc.assert(check);
    assert.equal(exported.readYaml("%YAML 1.1\n---\na: yes\n").kind, "documents");
  });

  it("messages of the API are written and read as everywhere else", async () => {
    const [light, whole] = [await made(API, LIGHTER), await made(API, [])];
    assert.deepEqual(light.exported.fields, whole.exported.fields);
    const app = create(AppSchema, { name: "web", dockerImage: "shop:1", pullPolicy: PullPolicy.NEVER, healthcheck: { test: ["NONE"] } });
    const bytes = toBinary(AppSchema, app);
    assert.deepEqual(light.exported.again(bytes), bytes);
  });

  it("what is left out is weight", async () => {
    for (const source of [YAML, API]) {
      const [light, whole] = [await made(source, LIGHTER), await made(source, [])];
      assert.ok(light.bytes < whole.bytes * 0.95, `${light.bytes} of ${whole.bytes} bytes`);
    }
  });
});
