import { strict as assert } from "node:assert";
import { sampleReport } from "../common/testing/sample-report.ts";
import { hasUpdated } from "./fold.ts";

const container = (id: string) => ({ name: `web-${id}`, id });

describe("whether a device has changed something", () => {
  const before = sampleReport({ apps: [{ name: "web", revision: 3n, appliedRevision: 3n, containers: [container("1"), container("2")] }] });
  const later = (app: object) =>
    sampleReport({ seq: 2n, apps: [{ name: "web", revision: 3n, appliedRevision: 3n, containers: [container("1"), container("2")], ...app }] });

  it("a device has changed something with its first report", () => assert.equal(hasUpdated(undefined, before), true));
  it("a device has changed nothing where its report differs in metrics alone", () => {
    assert.equal(hasUpdated(before, later({ containers: [{ ...container("2"), memoryBytes: 7n }, container("1")], revision: 4n })), false);
  });
  it("a device has changed something with another revision, and with other containers", () => {
    assert.equal(hasUpdated(before, later({ appliedRevision: 4n })), true);
    assert.equal(hasUpdated(before, later({ containers: [container("1"), container("3")] })), true);
    assert.equal(hasUpdated(before, sampleReport({ apps: [] })), true);
    assert.equal(hasUpdated(before, sampleReport({ apps: before.apps, cronJobs: [{ name: "sync", appliedRevision: 1n }] })), true);
  });
});
