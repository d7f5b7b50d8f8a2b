import { strict as assert } from "node:assert";
import type { JsonObject } from "@bufbuild/protobuf";
import { describeChange, fieldChanges } from "./field-changes.ts";

function described(before: JsonObject, after: JsonObject): string[] {
  return fieldChanges(before, after).flatMap((change) => describeChange(change).map((line) => `${change.field} ${line}`));
}

describe("the changes between two resources", () => {
  it("changes between two resources are the fields that differ, an absent one being its default", () => {
    assert.deepEqual(described({ docker_image: "shop:1.4", running: false }, { docker_image: "shop:1.5", privileged: true }), [
      "docker_image shop:1.4 -> shop:1.5",
      "privileged default -> true",
      "running false -> default",
    ]);
    assert.deepEqual(described({ env_vars: { A: "1" } }, { env_vars: { A: "1" } }), []);
  });

  it("changes between two resources never hold a secret value, only its display", () => {
    const [was, is] = ["secret:00000001", "secret:00000002"];
    const before = { secret_env_vars: { A: was, B: was, C: was } };
    const after = { secret_env_vars: { A: is, B: "hunter2", D: "hunter2" } };
    assert.deepEqual(described(before, after), [
      `secret_env_vars A: ${was} -> ${is}`,
      `secret_env_vars B: ${was} -> (a value)`,
      "secret_env_vars - C",
      "secret_env_vars + D=(a value)",
    ]);
    assert.doesNotMatch(JSON.stringify(fieldChanges(after, {})), /hunter2/);
  });

  it("changes of a map name the keys that are added, removed and changed", () => {
    assert.deepEqual(described({ env_vars: { A: "1", B: "2", C: "" } }, { env_vars: { B: "3", C: "", D: "x=y" } }), [
      "env_vars - A",
      "env_vars B: 2 -> 3",
      "env_vars + D=x=y",
    ]);
    assert.deepEqual(described({}, { labels: { a: "b" } }), ["labels + a=b"]);
    assert.deepEqual(described({ healthcheck: { test: ["NONE"] } }, { healthcheck: { test: ["CMD", "x"], retries: 2 } }), [
      "healthcheck + retries=2",
      'healthcheck test: ["NONE"] -> ["CMD","x"]',
    ]);
  });

  it("changes of a list of names name those added and removed, and show the whole where the order changes or an item repeats", () => {
    assert.deepEqual(described({ apps: ["web", "api"] }, { apps: ["web", "till", "x"] }), ["apps - api", "apps + till", "apps + x"]);
    assert.deepEqual(described({}, { apps: ["web"] }), ["apps + web"]);
    assert.deepEqual(described({ apps: ["a", "b"] }, { apps: ["b", "a"] }), ['apps ["a","b"] -> ["b","a"]']);
    assert.deepEqual(described({ command: ["a", "a"] }, { command: ["a"] }), ['command ["a","a"] -> ["a"]']);
    assert.deepEqual(described({ starting_ports: [80] }, { starting_ports: [80, { "8080": "80" }] }), ['starting_ports [80] -> [80,{"8080":"80"}]']);
  });

  it("fields of a resource that did not exist before are shown as added", () => {
    const fields = { docker_image: "shop:1.4", env_vars: { A: "1" }, starting_ports: [{ "8080": "80" }] };
    const lines = fieldChanges({}, fields).flatMap((change) => describeChange(change, true));
    assert.deepEqual(lines, ["+ shop:1.4", "+ A=1", '+ [{"8080":"80"}]']);
  });

  it("a change of the number of containers is shown as a whole", () => {
    assert.deepEqual(described({}, { containers_per: { cpu: 2 } }), ['containers_per default -> {"cpu":2}']);
  });
});
