import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { parseResources } from "../../../../common/resources/parse-resources.ts";
import { arbitraryApp } from "../../../../common/testing/arbitrary-entities.ts";
import { type App, AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { type Draft, draftOf, faultsOf, faultText, inView, readDraft, sameApp, withLines, yamlOf } from "./draft.ts";

const web = (init: MessageInitShape<typeof AppSchema> = {}) => create(AppSchema, { name: "web", dockerImage: "shop:1", ...init });
const yaml = (text: string): Draft => ({ view: "yaml", text });

function appOf(draft: Draft): App {
  const read = readDraft(draft, undefined);
  return read.kind === "app" ? read.app : assert.fail(JSON.stringify(read.faults));
}

function faultsIn(draft: Draft, name?: string): readonly string[] {
  const read = readDraft(draft, name);
  return read.kind === "invalid" ? read.faults.map(faultText) : [];
}

function typeImage(draft: Draft, image: string): Draft {
  if (draft.view !== "form") return assert.fail("the draft is not a form");
  return { ...draft, form: { ...draft.form, texts: { ...draft.form.texts, docker_image: image } } };
}

function shown(draft: Draft, view: Draft["view"]): Draft {
  return inView(draft, view) ?? assert.fail("it stays where it is");
}

describe("the draft of an app", () => {
  it("a draft is the same app in each view, and after each switch of them", () => {
    fc.assert(
      fc.property(arbitraryApp, (app) => {
        for (const draft of [draftOf(app, "form"), draftOf(app, "yaml")]) {
          const there = shown(draft, draft.view === "form" ? "yaml" : "form");
          for (const each of [draft, there, shown(there, draft.view)]) assert.ok(sameApp(appOf(each), app));
        }
      }),
    );
  });

  it("the YAML of a draft is what nebulactl prints and reads", () => {
    const text = yamlOf(web({ revision: 7n, restartCount: 2n, startingPorts: [{ hostPort: 8080, containerPort: 80 }] }));
    assert.equal(text, 'kind: app\nname: web\ndocker_image: shop:1\nstarting_ports: [ { "8080": "80" } ]\n');
    assert.equal(parseResources(text, "web.yaml").kind, "resources");
  });

  it("what is typed in one view is in the other; YAML keeps its words while the form changes nothing", () => {
    const text = "# ours\nkind: app\nname: web\ndocker_image: shop:1\ncommand: [run, it]\n";
    const form = shown(yaml(text), "form");
    assert.deepEqual(shown(form, "yaml"), yaml(text));
    assert.deepEqual(shown(typeImage(form, "shop:2"), "yaml"), yaml("kind: app\nname: web\ndocker_image: shop:2\ncommand:\n  - run\n  - it\n"));
  });

  it("a draft that cannot be read stays in its view, and says why with its line", () => {
    const broken = yaml("kind: app\nname: web\ndocker_image: [shop\n");
    assert.equal(inView(broken, "form"), undefined);
    assert.equal(inView(broken, "yaml"), broken);
    assert.match(faultsIn(broken).join(), /^line 4: /);
    const form = draftOf(web(), "form");
    assert.ok(form.view === "form");
    const wrong: Draft = { ...form, form: { ...form.form, texts: { ...form.form.texts, starting_ports: "eighty" } } };
    assert.equal(inView(wrong, "yaml"), undefined);
    assert.match(faultsIn(wrong).join(), /^starting_ports\[0\]: invalid port "eighty"/);
  });

  it("YAML that is not one app, or has what only the server sets, is refused", () => {
    assert.deepEqual(faultsIn(yaml("")), ["line 1: there is no app in it; start with kind: app"]);
    assert.deepEqual(faultsIn(yaml("kind: cron_job\nname: a\n")), ["line 1: kind: is cron_job; use app"]);
    assert.match(faultsIn(yaml("kind: app\nname: a\n---\nkind: app\nname: b\n")).join(), /^line 4: a second document begins here/);
    assert.match(faultsIn(yaml("kind: app\nname: a\nrevision: 4\n")).join(), /^line 3: revision: is set by the server/);
    assert.match(faultsIn(yaml("kind: app\nname: a\nenv: {}\n")).join(), /^line 3: env: unknown field; use env_vars/);
  });

  it("a page about one app refuses the draft of another", () => {
    assert.deepEqual(faultsIn(yaml("kind: app\nname: api\n"), "web"), [
      'line 2: name: is "api"; this page is about "web": leave it, or create another app',
    ]);
    assert.deepEqual(faultsIn(yaml("kind: app\nname: web\n"), "web"), []);
  });

  it("an app is the same with another revision, and not with another value", () => {
    assert.ok(sameApp(web(), web({ revision: 7n, restartCount: 1n, running: true })));
    assert.ok(!sameApp(web(), web({ dockerImage: "shop:2" })));
  });

  it("a violation of the server has the line of its field, and is at the nearest field of a form", () => {
    const read = readDraft(yaml("kind: app\nname: web\ndocker_image: x\nstarting_ports:\n  - 80\n  - 81\n"), "web");
    assert.ok(read.kind === "app");
    const violations = [
      { field: "starting_ports[1].host_port", description: "is taken" },
      { field: "healthcheck.test", description: "is wrong" },
    ];
    const faults = withLines(violations, read.lines);
    assert.deepEqual(faults.map(faultText), ["line 6: starting_ports[1].host_port: is taken", "healthcheck.test: is wrong"]);
    const names = ["starting_ports", "healthcheck", "healthcheck.test", "docker_image"];
    assert.deepEqual(
      names.map((name) => faultsOf(faults, name, names).length),
      [1, 0, 1, 0],
    );
    assert.equal(faultsOf(faults, "healthcheck", ["healthcheck"]).length, 1);
  });
});
