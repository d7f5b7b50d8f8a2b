import assert from "node:assert/strict";
import { normaliseImageReference } from "../../../common/validation/container/image-reference.ts";
import { familiarReference } from "./reference.ts";

const digest = `sha256:${"ab".repeat(32)}`;

describe("familiarReference", () => {
  it("familiarReference answers the short form of an image on Docker Hub, and of no other", () => {
    assert.equal(familiarReference("docker.io/library/busybox:1"), "busybox:1");
    assert.equal(familiarReference("docker.io/apache/kafka:3.9.1"), "apache/kafka:3.9.1");
    assert.equal(familiarReference("registry.example/library/a:1"), "registry.example/library/a:1");
  });

  it("familiarReference stands for the same image", () => {
    for (const reference of [
      "busybox",
      "a/b",
      "localhost/a",
      "localhost:5000/a:1",
      "r.example/a/b/c:v1",
      `busybox@${digest}`,
      `r.example/a:1@${digest}`,
    ]) {
      const normal = normaliseImageReference(reference);
      assert.equal(normaliseImageReference(familiarReference(normal)), normal);
    }
  });

  it("familiarReference leaves an image id as it is", () => assert.equal(familiarReference(digest), digest));
});
