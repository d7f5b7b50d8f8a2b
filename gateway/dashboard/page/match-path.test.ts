import { strict as assert } from "node:assert";
import { matchPath } from "./match-path.ts";

describe("the path of an address", () => {
  it("a path matches its pattern, and gives the parts that the pattern names", () => {
    assert.deepEqual(matchPath("/ui/", "/ui/"), {});
    assert.deepEqual(matchPath("/ui/", "/ui"), {});
    assert.deepEqual(matchPath("/ui/devices/:id", "/ui/devices/till%207"), { id: "till 7" });
    assert.deepEqual(matchPath("/ui/changes/:kind/:name/:revision", "/ui/changes/app/web/42"), { kind: "app", name: "web", revision: "42" });
  });

  it("a path of another length, with other words or a broken escape does not match", () => {
    for (const path of ["/ui/devices", "/ui/devices/a/b", "/ui/groups/a", "/ui/devices/%zz"])
      assert.equal(matchPath("/ui/devices/:id", path), undefined, path);
  });
});
