import { strict as assert } from "node:assert";
import { createPathMatcher } from "./match-path.ts";
import type { HttpMethod, Operation } from "./operation.ts";

function operation(method: HttpMethod, path: string): Operation {
  return { method, path, id: `${method} ${path}`, summary: "", answers: [], handle: async () => ({ status: 200, body: {} }) };
}

describe("the paths of REST v2", () => {
  const match = createPathMatcher([
    operation("GET", "/apps/{app_name}"),
    operation("DELETE", "/apps/{app_name}"),
    operation("POST", "/apps/{app_name}/update"),
    operation("GET", "/apps/all"),
  ]);

  it("paths are found with their parameters, decoded", () => {
    assert.deepEqual(match("/apps/a%20%2fb")?.parameters, new Map([["app_name", "a /b"]]));
    assert.deepEqual([...(match("/apps/web")?.operations.keys() ?? [])], ["GET", "DELETE"]);
    assert.equal(match("/apps/web/update")?.template, "/apps/{app_name}/update");
  });

  it("paths without a parameter come before those with one", () => {
    assert.equal(match("/apps/all")?.template, "/apps/all");
  });

  it("paths with a missing, additional, empty or undecodable part are not found", () => {
    for (const path of ["", "/", "/apps", "/apps/", "/apps//update", "/apps/web/update/", "/apps/%e4", "/apps/%"])
      assert.equal(match(path), undefined, path);
  });

  it("paths hold one operation for each method", () => {
    assert.throws(() => createPathMatcher([operation("GET", "/a"), operation("GET", "/a")]), /second operation at GET \/a/);
  });
});
