import { strict as assert } from "node:assert";
import { WatchConfigResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ANSWER_FEATURES, createReadFeatures, FEATURES } from "./watch-features.ts";

/** The kinds of answers of the first release. This list never grows. */
const FIRST = ["config", "unchanged", "noSuchGroup", "redirect"];

describe("features of a watch", () => {
  it("each kind of answer that the first release did not have is tied to a feature of its own", () => {
    const [oneof, ...others] = WatchConfigResponseSchema.oneofs;
    assert.ok(oneof?.localName === "answer" && others.length === 0);
    const cases = oneof.fields.map(({ localName }) => localName);
    assert.deepEqual(Object.keys(ANSWER_FEATURES).toSorted(), cases.toSorted());
    assert.ok(FIRST.every((name) => cases.includes(name)));
    const features = new Map(Object.entries(ANSWER_FEATURES));
    for (const name of cases) {
      if (FIRST.includes(name)) assert.equal(features.get(name), undefined, `${name} needs no feature`);
      else assert.match(features.get(name) ?? "", /^[a-z0-9][a-z0-9_.-]{0,62}$/, `${name} needs a feature`);
    }
    assert.equal(new Set(FEATURES).size, FEATURES.length);
    assert.deepEqual(
      [...FEATURES],
      cases.flatMap((name) => features.get(name) ?? []),
    );
  });

  it("the features that a worker names are read in any order, those of other releases are passed by, and equal ones share an object", () => {
    const read = createReadFeatures(["assigned", "logs"]);
    assert.deepEqual([...read(["later", "logs", "assigned"])], ["assigned", "logs"]);
    assert.equal(read(["logs", "assigned"]), read(["assigned", "logs", "logs"]));
    assert.deepEqual([...read([])], []);
    assert.equal(read([]), read(["later"]));
  });
});
