import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AuditEntrySchema } from "../../../../../gen/nebula/v1/audit_pb.ts";
import { auditLine } from "./audit-line.ts";

const UPDATE = {
  id: "01",
  at: timestampFromMs(1000),
  who: "ann",
  from: "192.0.2.1",
  method: "/nebula.v1.AppService/UpdateApp",
  kind: "app",
  name: "web",
  revisionBefore: 41n,
  revisionAfter: 42n,
  outcome: "OK",
  detail: "update",
  requestId: "r1",
};

describe("a line of the audit log", () => {
  const line = (fields: Partial<typeof UPDATE & { repeats: number }> = {}) => auditLine(create(AuditEntrySchema, { ...UPDATE, ...fields }));

  it("a change names its call and links to the entity and to the page of the change", () => {
    assert.deepEqual(line(), {
      id: "01",
      at: 1000,
      who: "ann",
      from: "192.0.2.1",
      call: "AppService/UpdateApp",
      about: { text: "app web", to: "/ui/apps/web" },
      revision: { text: "41->42", to: "/ui/changes/app/web/42" },
      outcome: "OK",
      isRefused: false,
      detail: "update",
      requestId: "r1",
    });
  });

  it("a call that made no revision, and one about a kind without changes, links to no change", () => {
    assert.deepEqual(line({ revisionBefore: 42n }).revision, { text: "42", to: undefined });
    assert.deepEqual(line({ kind: "user", name: "bob" }).revision.to, undefined);
    assert.equal(line({ kind: "user", name: "bob" }).about.to, "/ui/users/bob");
    assert.deepEqual(line({ kind: "session", name: "5ec003bb20b0e238" }).about, { text: "session 5ec003bb20b0e238", to: undefined });
    assert.deepEqual(line({ kind: "", name: "" }).about, { text: "", to: undefined });
  });

  it("a refusal links to nothing, since what it names may not exist, and says how many it stands for", () => {
    const { about, outcome, isRefused, detail } = line({ outcome: "NOT_FOUND", repeats: 7, detail: 'there is no app "web\u202e"' });
    assert.deepEqual([about, outcome, isRefused, detail], [{ text: "app web", to: undefined }, "NOT_FOUND x7", true, 'there is no app "web\\u202e"']);
  });
});
