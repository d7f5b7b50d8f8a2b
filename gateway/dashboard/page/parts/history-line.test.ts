import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { RevisionAction, RevisionSchema } from "../../../../gen/nebula/v1/history_pb.ts";
import { changedFields, historyLine } from "./history-line.ts";

const differences = [
  { field: "docker_image", beforeJson: '"shop:1"', afterJson: '"\u202eshop:2"' },
  { field: "env_vars", afterJson: '{"A":"1","B":"2"}' },
];

describe("a line of a history", () => {
  it("the first field that changed is shown, and how many lines there are more; marks of direction are shown as text", () => {
    const revision = create(RevisionSchema, {
      ...{ revision: 3n, previousRevision: 2n, action: RevisionAction.UPDATE, change: { by: "a\u202en" }, differences },
      body: { case: "app", value: {} },
    });
    assert.deepEqual(historyLine(revision), {
      ...{ revision: 3n, previous: 2n, action: "update", by: "a\\u202en", at: undefined, hasBody: true },
      change: "docker_image shop:1 -> \\u202eshop:2, +2",
    });
  });

  it("a delete has no body that could come back, and no fields", () => {
    const { hasBody, change, action } = historyLine(create(RevisionSchema, { revision: 3n, action: RevisionAction.DELETE }));
    assert.deepEqual([hasBody, change, action], [false, "", "delete"]);
  });

  it("fields that differ are shown a line each, with the name on the first line of a field", () => {
    const { differences: given } = create(RevisionSchema, { differences });
    assert.deepEqual(changedFields(given), [
      { field: "docker_image", change: "shop:1 -> \\u202eshop:2" },
      { field: "env_vars", change: "+ A=1" },
      { field: "", change: "+ B=2" },
    ]);
  });
});
