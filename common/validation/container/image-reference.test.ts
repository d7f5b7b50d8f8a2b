import { strict as assert } from "node:assert";
import fc from "fast-check";
import { normaliseImageReference, parseImageReference } from "./image-reference.ts";

const A64 = "a".repeat(64);

describe("image references", () => {
  const equal: Readonly<Record<string, string>> = {
    redis: "docker.io/library/redis:latest",
    "redis:7": "docker.io/library/redis:7",
    "docker.io/redis:7": "docker.io/library/redis:7",
    "index.docker.io/library/redis:7": "docker.io/library/redis:7",
    "library/redis:7": "docker.io/library/redis:7",
    "team/shop": "docker.io/team/shop:latest",
    "localhost/shop": "localhost/shop:latest",
    "localhost:5000/shop:1": "localhost:5000/shop:1",
    "registry.example.com:5000/a/b/c:1.5": "registry.example.com:5000/a/b/c:1.5",
    "foo.bar:5000": "docker.io/library/foo.bar:5000",
    "[::1]:5000/shop": "[::1]:5000/shop:latest",
    [`shop@sha256:${A64}`]: `docker.io/library/shop@sha256:${A64}`,
    [`shop:1.5@sha256:${A64}`]: `docker.io/library/shop@sha256:${A64}`,
    "a__b/c.d-e--f": "docker.io/a__b/c.d-e--f:latest",
  };
  for (const [text, normal] of Object.entries(equal))
    it(`the image ${text.slice(0, 40)} is ${normal.slice(0, 50)}`, () => assert.equal(normaliseImageReference(text), normal));

  it("an image reference is split into its parts", () => {
    assert.deepEqual(parseImageReference(`reg.io/a/b:t@sha256:${A64}`), {
      kind: "image",
      image: { registry: "reg.io", repository: "a/b", tag: "t", digest: `sha256:${A64}` },
    });
  });

  const refused = [
    ..."|Shop:1|busy___box|a..b/c|-a/b|a-/b|a.-b|/x|x/|x//y|x:|x@| x|x y|http://x/y|a:b:c|x@sha256:abc|Foo/x|x/y:.t|a/b/|x\u0000".split("|"),
    `x@md5:${"a".repeat(32)}`,
    `x@sha256:${"A".repeat(64)}`,
    `x@sha256:${A64}:1`,
    A64,
    `sha256:${A64}`,
    `x:${"t".repeat(129)}`,
    "y".repeat(256),
  ];
  for (const text of refused) {
    it(`the image ${JSON.stringify(text).slice(0, 40)} is refused in words that are no longer than it takes`, () => {
      const parsed = parseImageReference(text);
      assert.equal(parsed.kind, "invalid");
      assert.ok(parsed.kind === "invalid" && parsed.reason.length > 20 && parsed.reason.length < 400, JSON.stringify(parsed));
      assert.equal(normaliseImageReference(text), text);
    });
  }

  it("a normal form is its own normal form, for any text", () => {
    const part = fc.stringMatching(/^[a-zA-Z0-9._@:/-]{0,12}$/);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(part, { maxLength: 4 }).map((parts) => parts.join("/")),
        ),
        (text) => {
          const once = normaliseImageReference(text);
          assert.equal(normaliseImageReference(once), once);
        },
      ),
    );
  });
});
