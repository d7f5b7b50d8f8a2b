import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import { type App, AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { type PlannedEntitySchema, PlannedKind, PlanResponseSchema } from "../../../../gen/nebula/v1/plan_pb.ts";
import { applyLine, hindrance, type PlanCalls, planDraft, violationsOf } from "./plan-draft.ts";
import { takeOver } from "./take-over.ts";

const web = (init: MessageInitShape<typeof AppSchema> = {}) => create(AppSchema, { name: "web", dockerImage: "shop:1", ...init });

function planOf(entity: MessageInitShape<typeof PlannedEntitySchema>, changesAnything = true) {
  const read = [{ kind: PlannedKind.APP, name: "web", revision: 1n, changedAt: timestampFromMs(Date.UTC(2026, 0, 31)) }];
  return create(PlanResponseSchema, { id: "7f31c2a0aaaaaaaa", changesAnything, read, entities: [{ name: "web", mayWrite: true, ...entity }] });
}

/** A server whose app has the next of these revisions when it is planned, until there are no more of them. */
class StandIn implements PlanCalls {
  readonly planned: App[] = [];
  readonly #revisions: (App | undefined)[];

  constructor(...revisions: (App | undefined)[]) {
    this.#revisions = revisions;
  }

  readonly plan: PlanCalls["plan"] = async (app) => {
    this.planned.push(app);
    if (this.#revisions.length > 1) this.#revisions.shift();
    const [stored] = this.#revisions;
    return planOf({ existsBefore: stored !== undefined, revisionBefore: stored?.revision ?? 9n });
  };
  readonly read: PlanCalls["read"] = async () => this.#revisions[0];
}

describe("the plan of a draft", () => {
  it("a plan of an app that nobody changed meanwhile is made once", async () => {
    const stored = web({ revision: 4n });
    const server = new StandIn(stored);
    const planned = await planDraft(server, web({ dockerImage: "shop:2" }), stored);
    assert.deepEqual([server.planned.length, planned.takenOver, planned.app.dockerImage], [1, undefined, "shop:2"]);
  });

  it("what others changed meanwhile is taken over where the draft did not touch it, before it is planned", async () => {
    const stored = web({ revision: 4n, envVars: { LEVEL: "info" }, secretEnvVars: { TOKEN: "secret:00000000" } });
    const newest = web({ revision: 5n, cpus: 2, envVars: { LEVEL: "info", MORE: "1" }, secretEnvVars: { TOKEN: "secret:11111111" } });
    const server = new StandIn(newest);
    const draft = web({ dockerImage: "shop:2", envVars: { LEVEL: "debug" }, secretEnvVars: { TOKEN: "secret:00000000" } });
    const { app, read, takenOver, kept } = await planDraft(server, draft, stored);
    assert.deepEqual([server.planned, takenOver, read, kept], [[app], 5n, newest, []]);
    assert.deepEqual([app.dockerImage, app.cpus, app.envVars], ["shop:2", 2, { LEVEL: "debug", MORE: "1" }]);
    assert.deepEqual(app.secretEnvVars, { TOKEN: "secret:11111111" }, "what stood for the value of before would be refused");
  });

  it("an app that changes between its read and its plan is taken over, and planned again", async () => {
    const stored = web({ revision: 4n });
    const server = new StandIn(stored, web({ revision: 5n, cpus: 2, dockerImage: "shop:3" }), web({ revision: 5n, cpus: 2, dockerImage: "shop:3" }));
    const { app, takenOver, kept } = await planDraft(server, web({ dockerImage: "shop:2" }), stored);
    assert.deepEqual([server.planned.length, app.cpus, app.dockerImage, takenOver, kept], [2, 2, "shop:2", 5n, ["docker_image"]]);
  });

  it("a plan of an app that changes again and again is given up", async () => {
    const revisions = Array.from({ length: 20 }, (_, index) => web({ revision: BigInt(index + 5) }));
    const server = new StandIn(...revisions);
    await assert.rejects(planDraft(server, web(), web({ revision: 4n })), (error) => error instanceof ConnectError && error.code === Code.Aborted);
    assert.equal(server.planned.length, 5);
  });

  it("an app that was deleted meanwhile is planned as one that is created", async () => {
    const server = new StandIn(undefined);
    const planned = await planDraft(server, web(), web({ revision: 4n }));
    assert.deepEqual([server.planned.length, planned.takenOver, hindrance(planned.plan, false)], [1, undefined, undefined]);
  });

  it("an app that is about to be created is planned as it is, also where there is one of its name", async () => {
    const server = new StandIn(web({ revision: 4n, cpus: 2 }));
    const { app, plan } = await planDraft(server, web(), undefined);
    assert.deepEqual([server.planned.length, app.cpus, hindrance(plan, true)], [1, 0, "exists"]);
  });

  it("a plan is written where it changes something, and the caller may", () => {
    assert.equal(hindrance(planOf({ existsBefore: true }), false), undefined);
    assert.equal(hindrance(planOf({}), true), undefined);
    assert.equal(hindrance(planOf({ existsBefore: true }, false), false), "nothing to do");
    assert.equal(hindrance(planOf({ existsBefore: true, mayWrite: false }), false), "rights");
  });

  it("the line of nebulactl applies exactly the plan, and names none that has nothing to do", () => {
    const planned = { app: web(), read: undefined, takenOver: undefined, kept: [] };
    assert.equal(applyLine({ ...planned, plan: planOf({}) }), "nebulactl apply -f web.yaml --plan 7f31c2a0-ml1jpc00");
    assert.equal(applyLine({ ...planned, plan: planOf({}, false) }), "nebulactl apply -f web.yaml");
  });

  it("violations of the server are those of the fields of the app", () => {
    const value = { fieldViolations: [{ field: "changes[0].docker_image", description: "is missing" }] };
    const error = new ConnectError("no", Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value }]);
    assert.deepEqual(violationsOf(error), [{ field: "docker_image", description: "is missing" }]);
    assert.deepEqual(violationsOf(new Error("no")), []);
  });
});

describe("what is taken over", () => {
  it("a field that both changed otherwise stays as in the draft, and is named; one that both changed alike is not", () => {
    const { app, kept } = takeOver(
      web({ labels: { a: "1", b: "1" }, volumes: ["/a:/a"] }),
      web({ dockerImage: "shop:2", labels: { a: "2" }, volumes: [], cpus: 1 }),
      web({ dockerImage: "shop:3", labels: { a: "3", b: "1", c: "1" }, volumes: ["/a:/a"], cpus: 1 }),
    );
    assert.deepEqual(kept.toSorted(), ["docker_image", "labels.a"]);
    assert.deepEqual([app.dockerImage, app.labels, app.volumes, app.cpus], ["shop:2", { a: "2", c: "1" }, [], 1]);
  });

  it("what was removed meanwhile is removed, and does not come back", () => {
    const { app, kept } = takeOver(
      web({ envVars: { A: "1", B: "1" }, healthcheck: { test: ["NONE"] } }),
      web({ envVars: { A: "1", B: "2" }, healthcheck: { test: ["NONE"] } }),
      web({ envVars: {} }),
    );
    assert.deepEqual([app.envVars, app.healthcheck, kept], [{ B: "2" }, undefined, ["env_vars.B"]]);
  });
});
