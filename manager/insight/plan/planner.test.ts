import { strict as assert } from "node:assert";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { comparePlans, type NamedPlan, parsePlanName, planName } from "../../../common/insight/plan-name.ts";
import { planId } from "./planner.ts";

const MADE_MS = Date.UTC(2026, 0, 31);
const at = (ms: number) => ({ changedAt: timestampFromMs(MADE_MS + ms) });
const web = { kind: 1, name: "web", revision: 41n, ...at(-1000) };
const pos = { kind: 3, name: "pos", revision: 7n, ...at(0) };
const change = Buffer.from("a change");
const id = planId([change], [web, pos]);

function parsed(name: string): NamedPlan {
  return parsePlanName(name) ?? assert.fail(`"${name}" names no plan`);
}

describe("the ids and names of plans", () => {
  it("ids of equal changes of equal revisions are equal, all others differ", () => {
    assert.match(id, /^[0-9a-f]{16}$/);
    assert.equal(planId([Buffer.from(change)], [{ ...web }, { ...pos }]), id);
    assert.notEqual(planId([Buffer.from("another")], [web, pos]).slice(0, 4), id.slice(0, 4));
    for (const read of [[pos, web], [web], [{ ...web, revision: 42n }, pos], [{ ...web, name: "api" }, pos]])
      assert.notEqual(planId([change], read).slice(4), id.slice(4));
    assert.notEqual(planId([Buffer.from("ab"), Buffer.from("c")], []), planId([Buffer.from("a"), Buffer.from("bc")], []));
  });

  it("a plan is named by its id, or the first 6 digits of it or more, and has the time of its newest revision in the name", () => {
    const names = [id, id.slice(0, 8), id.slice(0, 6), planName({ id, read: [web, pos] }), planName({ id, read: [web, pos] }, 8)];
    for (const name of names) assert.deepEqual(comparePlans(parsed(name), id, [web, pos]), { kind: "same" }, name);
    assert.deepEqual(parsed(names[4] ?? ""), { digits: id.slice(0, 8), newestMs: MADE_MS });
    assert.deepEqual(parsed(planName({ id, read: [{ kind: 1, name: "new", revision: 0n }] })), { digits: id, newestMs: 0 });
    for (const name of ["", id.slice(0, 5), `${id}0`, "latest", "7F31C2", `${id}-`, `${id}-a_b`]) assert.equal(parsePlanName(name), undefined, name);
  });

  it("a plan that does not hold any more tells what changed since it was made and nothing older, or that the changes are others", () => {
    const name = parsed(planName({ id, read: [web, pos] }, 8));
    const compared = (read: Parameters<typeof comparePlans>[2]) => comparePlans(name, planId([change], read), read);
    const newer = { ...web, revision: 44n, ...at(1) };
    assert.deepEqual(compared([newer, pos]), { kind: "revisions", changed: [newer] });
    const joined = { kind: 3, name: "till", revision: 2n, ...at(500) };
    assert.deepEqual(compared([newer, pos, joined]), { kind: "revisions", changed: [joined, newer] });
    assert.deepEqual(compared([web]), { kind: "revisions", changed: [] }, "a group is not reached any more");
    const now = [newer, pos];
    assert.deepEqual(comparePlans(parsed(id), planId([change], now), now), { kind: "revisions", changed: [] });
    assert.deepEqual(comparePlans(name, planId([Buffer.from("another")], [web, pos]), [web, pos]), { kind: "changes" });
  });
});
