import { strict as assert } from "node:assert";
import { nearestName } from "./nearest-name.ts";

describe("the nearest name", () => {
  const known = ["docker_image", "env_vars", "networks", "volumes", "devices"];
  for (const [given, meant] of [
    ["docker-image", "docker_image"],
    ["dockerImage", "docker_image"],
    ["volume", "volumes"],
    ["netwrks", "networks"],
  ] as const) {
    it(`of ${given} is ${meant}`, () => assert.equal(nearestName(given, known), meant));
  }
  it("is none when nothing is near", () => assert.equal(nearestName("colour", known), undefined));
  it("is found in bounded time for a name of any length", () => assert.equal(nearestName("x".repeat(1_000_000), known), undefined));
});
