import { strict as assert } from "node:assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { arbitraryApp } from "../../../../common/testing/arbitrary-entities.ts";
import { type App, AppSchema, PortProtocol } from "../../../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../../../gen/nebula/v1/container_pb.ts";
import { emptyApp, formOf, hiddenFields, readForm, setFields, shownFields, type variablePath, withSecrecy } from "./app-form.ts";
import { sameApp } from "./draft.ts";
import { FORM_FIELDS } from "./form-fields.ts";

const MASKED = "secret:0123abcd";
const web = (init: MessageInitShape<typeof AppSchema> = {}) => create(AppSchema, { name: "web", dockerImage: "shop:1", ...init });

/** The app once these texts are typed. */
function typed(texts: Readonly<Record<string, string>>, app: App = web()) {
  const form = formOf(app);
  return readForm({ ...form, texts: { ...form.texts, ...texts } }, app);
}

describe("an app as a form", () => {
  it("a form in which nothing is typed is the app that it was made of, whichever it is", () => {
    fc.assert(
      fc.property(arbitraryApp, (app) => {
        const read = readForm(formOf(app), app);
        assert.deepEqual(read.violations, []);
        assert.ok(sameApp(read.app, app));
      }),
    );
  });

  it("each field of the form sets its own field of the app", () => {
    const { app, violations } = typed({
      docker_image: " shop:2 ",
      running: "",
      containers_per: "memory",
      "containers_per.number": "512",
      pull_policy: "always",
      starting_ports: "8080:80\n\n53/udp\n[::1]:81:80\n",
      networks: "host",
      volumes: "/data:/data\ncache:/c:ro",
      devices: "/dev/ttyUSB0",
      rolling_restart: "on",
      min_healthy_ms: "",
      stop_grace_seconds: "0",
      cpus: "0.5",
      memory_limit_mb: "64",
      privileged: "on",
    });
    assert.deepEqual(violations, []);
    const { dockerImage, running, containersPer, pullPolicy, networks, volumes, devices } = app;
    assert.deepEqual([dockerImage, running, containersPer?.per, pullPolicy], ["shop:2", false, { case: "memoryMb", value: 512 }, PullPolicy.ALWAYS]);
    assert.deepEqual([networks, volumes, devices], [["host"], ["/data:/data", "cache:/c:ro"], ["/dev/ttyUSB0"]]);
    assert.deepEqual(
      app.startingPorts.map(({ hostAddress, hostPort, containerPort, protocol }) => [hostAddress, hostPort, containerPort, protocol]),
      [
        ["", 8080, 80, PortProtocol.TCP],
        ["", 53, 53, PortProtocol.UDP],
        ["::1", 81, 80, PortProtocol.TCP],
      ],
    );
    assert.deepEqual([app.rollingRestart, app.privileged, app.cpus, app.memoryLimitMb], [true, true, 0.5, 64]);
    assert.deepEqual([app.minHealthyMs, app.stopGraceSeconds], [undefined, 0]);
  });

  it("a health check is chosen, typed and switched off", () => {
    const checked = typed({ healthcheck: "shell", "healthcheck.test": "wget -q http://localhost/", "healthcheck.interval_ms": "5000" }).app;
    assert.deepEqual([checked.healthcheck?.test, checked.healthcheck?.intervalMs], [["CMD-SHELL", "wget -q http://localhost/"], 5000]);
    assert.equal(formOf(checked).texts.healthcheck, "shell");
    assert.deepEqual(typed({ healthcheck: "command", "healthcheck.test": "curl\n-f\n" }).app.healthcheck?.test, ["CMD", "curl", "-f"]);
    assert.deepEqual(typed({ healthcheck: "none" }, checked).app.healthcheck?.test, ["NONE"]);
    assert.equal(typed({ healthcheck: "image" }, checked).app.healthcheck, undefined);
    const names = (app: App) => shownFields(formOf(app).texts).map(({ name }) => name);
    assert.ok(names(checked).includes("healthcheck.interval_ms") && !names(web()).includes("healthcheck.interval_ms"));
  });

  it("a text that is not valid is a violation of its field, in the words of a resource file", () => {
    const violations = (texts: Readonly<Record<string, string>>) =>
      typed(texts).violations.map(({ field, description }) => `${field}: ${description}`);
    assert.deepEqual(violations({ starting_ports: "80\n70000" }), ['starting_ports[1]: invalid port "70000"; use 1 to 65535']);
    assert.match(violations({ "containers_per.number": "two" }).join(), /^containers_per: "server: two" is not a number/);
    assert.match(violations({ cpus: "many" }).join(), /^cpus: is "many"; use a number/);
    for (const text of ["-1", "1.5", "x", "4294967296"])
      assert.match(violations({ memory_limit_mb: text }).join(), /^memory_limit_mb: is ".*"; use a whole number/);
  });

  it("a value that has no text of its form is not shown, and stays as it is", () => {
    const app = web({ volumes: ["/a\n/b:/c"], healthcheck: { test: ["CMD", "a b", "c\nd"], retries: 2 }, labels: { a: "b" }, command: ["run"] });
    const form = formOf(app);
    const names = shownFields(form.texts).map(({ name }) => name);
    assert.ok(!names.includes("volumes") && !names.some((name) => name.startsWith("healthcheck")));
    assert.deepEqual(hiddenFields(setFields(app), form.texts).toSorted(), ["command", "healthcheck", "labels", "volumes"]);
    const read = typed({ docker_image: "shop:2" }, app).app;
    assert.deepEqual(
      [read.volumes, read.healthcheck?.test, read.healthcheck?.retries, read.labels],
      [app.volumes, app.healthcheck?.test, 2, app.labels],
    );
  });

  it("all fields of the form have names and labels of their own", () => {
    for (const key of ["name", "label"] as const) assert.equal(new Set(FORM_FIELDS.map((field) => field[key])).size, FORM_FIELDS.length);
  });
});

describe("environment variables in a form", () => {
  const withVariables = (variables: Parameters<typeof variablePath>[0][]) => readForm({ texts: formOf(web()).texts, variables }, web());

  it("what stands for a secret stays until another value is typed", () => {
    const app = web({ envVars: { LEVEL: "debug" }, secretEnvVars: { TOKEN: MASKED } });
    const form = formOf(app);
    assert.deepEqual(form.variables, [
      { name: "LEVEL", value: "debug", isSecret: false },
      { name: "TOKEN", value: MASKED, isSecret: true },
    ]);
    assert.deepEqual(readForm(form, app).app.secretEnvVars, { TOKEN: MASKED });
    const [level, token] = form.variables;
    assert.ok(level !== undefined && token !== undefined);
    assert.deepEqual(withVariables([level, { ...token, value: "other" }]).app.secretEnvVars, { TOKEN: "other" });
  });

  it("a secret that becomes plain has no value, as nobody knows it; one that was just typed keeps it", () => {
    assert.equal(withSecrecy({ name: "TOKEN", value: MASKED, isSecret: true }, false).value, "");
    assert.equal(withSecrecy({ name: "TOKEN", value: "typed", isSecret: true }, false).value, "typed");
    assert.equal(withSecrecy({ name: "LEVEL", value: "debug", isSecret: false }, true).value, "debug");
  });

  it("a secret that was made plain and secret again keeps its value, unless one was typed between", () => {
    const plain = withSecrecy({ name: "TOKEN", value: MASKED, isSecret: true }, false);
    assert.equal(withSecrecy(plain, true).value, MASKED);
    assert.equal(withSecrecy({ ...plain, value: "typed" }, true).value, "typed");
    assert.equal(withSecrecy({ name: "NEW", value: "", isSecret: false }, true).value, "");
  });

  it("rows without anything are left out; a value without a name, and a name given twice, are violations without the value", () => {
    const { app, violations } = withVariables([
      { name: "", value: "", isSecret: false },
      { name: "", value: "hush", isSecret: true },
      { name: "A", value: "hush", isSecret: false },
      { name: "A", value: "hush", isSecret: false },
      { name: "__proto__", value: "hush", isSecret: false },
    ]);
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["secret_env_vars", "env_vars.A", "env_vars.__proto__"],
    );
    assert.doesNotMatch(JSON.stringify(violations), /hush/);
    assert.equal(app.envVars.A, "hush");
  });

  it("an app that nobody described has no variables, and runs once on each device", () => {
    const { texts, variables } = formOf(emptyApp("shop"));
    assert.deepEqual([texts.name, texts.running, texts["containers_per.number"], texts.starting_ports, variables], ["shop", "on", "1", "", []]);
  });
});
