import { strict as assert } from "node:assert";
import { comparePlans, isPlanName, planId } from "./plan-id.ts";

const web = { kind: 1, name: "web", revision: 41n };
const pos = { kind: 3, name: "pos", revision: 7n };
const change = Buffer.from("a change");

describe("the ids of plans", () => {
  it("ids of equal changes of equal revisions are equal, all others differ", () => {
    const id = planId([change], [web, pos]);
    assert.match(id, /^[0-9a-f]{16}$/);
    assert.equal(planId([Buffer.from(change)], [{ ...web }, { ...pos }]), id);
    assert.notEqual(planId([Buffer.from("another")], [web, pos]).slice(0, 4), id.slice(0, 4));
    for (const read of [[pos, web], [web], [{ ...web, revision: 42n }, pos], [{ ...web, name: "api" }, pos]])
      assert.notEqual(planId([change], read).slice(4), id.slice(4));
    assert.notEqual(planId([Buffer.from("ab"), Buffer.from("c")], []), planId([Buffer.from("a"), Buffer.from("bc")], []));
  });

  it("ids name a plan by their first 6 digits or more", () => {
    const id = planId([change], [web, pos]);
    for (const name of [id, id.slice(0, 8), id.slice(0, 6)]) {
      assert.ok(isPlanName(name));
      assert.deepEqual(comparePlans(name, id, [web, pos]), { kind: "same" });
    }
    for (const name of ["", id.slice(0, 5), `${id}0`, "latest", "7F31C2"]) assert.ok(!isPlanName(name), name);
  });

  it("a plan that does not hold any more tells which entity was at which revision, or that the changes are others", () => {
    const name = planId([change], [web, pos]).slice(0, 12);
    const now = [{ ...web, revision: 44n }, pos];
    assert.deepEqual(comparePlans(name, planId([change], now), now), { kind: "entity", entity: now[0], revision: 41n });
    const both = [
      { ...web, revision: 42n },
      { ...pos, revision: 8n },
    ];
    assert.deepEqual(comparePlans(name, planId([change], both), both), { kind: "revisions" });
    const other = planId([Buffer.from("another")], [web, pos]);
    assert.deepEqual(comparePlans(name, other, [web, pos]), { kind: "changes" });
  });
});
