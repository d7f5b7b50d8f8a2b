import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { eventually } from "../common/testing/eventually.ts";
import { freePort } from "../common/testing/free-port.ts";
import { requireCommand } from "../common/testing/require-command.ts";
import { requireServers } from "../common/testing/servers.ts";
import { Cluster } from "../e2e/harness/cluster.ts";
import { SimulatedWorker } from "../e2e/harness/simulated-worker.ts";

const FOLDER = import.meta.dirname;
const RUNBOOK = readFileSync(join(FOLDER, "../docs/alerts.md"), "utf8");
const DASHBOARDS = readdirSync(join(FOLDER, "grafana"));

/** Metrics that Prometheus makes itself. */
const OF_PROMETHEUS = ["up"];

type Alert = Readonly<{ alert: string; expr: string; annotations: Readonly<{ runbook: string }> }>;

function alerts(): readonly Alert[] {
  const groups: readonly { rules: readonly Alert[] }[] = parse(readFileSync(join(FOLDER, "alerts.yaml"), "utf8")).groups;
  return groups.flatMap(({ rules }) => rules);
}

type Panel = Readonly<{ id: number; type: string; title: string; targets?: readonly { expr: string }[] }>;

function panels(dashboard: string): readonly Panel[] {
  return JSON.parse(readFileSync(join(FOLDER, "grafana", dashboard), "utf8")).panels;
}

/** The expressions of a dashboard, with what Grafana fills in. */
function expressionsOf(dashboard: string): readonly string[] {
  const all = panels(dashboard).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  return all.map((expression) => expression.replaceAll("$__rate_interval", "5m").replaceAll("$instance", ".*"));
}

function promtool(args: readonly string[], input = ""): Readonly<{ status: number | null; said: string }> {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { status, said: stdout + stderr };
}

/** Words of PromQL that are neither functions nor metrics. */
const KEYWORDS = new Set(["and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool"]);

/** The names of metrics in an expression of PromQL: what is left without strings, matchers, durations, lists of labels, functions and numbers. */
function metricsIn(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, "")
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, "")
    .replaceAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ")
    .replaceAll(/\boffset\s+\w+/g, " ");
  const words = [...bare.matchAll(/(?<![\w.])[a-zA-Z_:][\w:]*(?!\w)(?=(\s*\()?)/g)];
  return words.flatMap(([word, call]) => (call !== undefined || KEYWORDS.has(word) ? [] : [word]));
}

describe("the metrics that an expression names", () => {
  for (const [expression, metrics] of [
    ['up{job=~"nebula.*"} == 0', ["up"]],
    ['sum by (instance, le) (rate(a_total{result="failed", x="{"}[5m])) / sum(b) > 0.05', ["a_total", "b"]],
    ["sum(a) < 0.8 * sum(a offset 15m) and c > 1e3", ["a", "a", "c"]],
    ["topk (5, max without (x) (a)) unless on(y) b", ["a", "b"]],
    ["time() - a:b", ["a:b"]],
  ] as const) {
    it(`metricsIn finds ${metrics.join(" and ")} in ${expression}`, () => assert.deepEqual(metricsIn(expression), metrics));
  }
});

describe("alerts and dashboards", function () {
  this.timeout(120_000);
  before(function () {
    requireCommand(this, "promtool", "Debian: prometheus");
  });

  it("alerts fire and stay silent as alerts.test.yaml says", () => {
    const { status, said } = promtool(["test", "rules", join(FOLDER, "alerts.test.yaml")]);
    assert.equal(status, 0, said);
  });

  it("each alert is tested firing, not yet firing and silent, and has a section in the runbook that its link names", () => {
    type Expectation = Readonly<{ alertname: string; exp_alerts?: readonly unknown[] }>;
    const { tests }: { tests: readonly { name: string; alert_rule_test: readonly Expectation[] }[] } = parse(
      readFileSync(join(FOLDER, "alerts.test.yaml"), "utf8"),
    );
    const tested = tests.map(({ name, alert_rule_test: expected }) => [
      name,
      ...expected.map((one) => `${one.alertname} ${one.exp_alerts?.length ?? 0}`),
    ]);
    assert.deepEqual(
      tested,
      alerts().flatMap(({ alert }) => [
        [`${alert} fires`, `${alert} 0`, `${alert} 1`],
        [`${alert} stays silent`, `${alert} 0`],
      ]),
    );
    assert.deepEqual(
      alerts().map(({ alert }) => alert),
      [...RUNBOOK.matchAll(/^## (\w+)$/gm)].map(([, title]) => title),
    );
    for (const { alert, annotations } of alerts()) assert.equal(annotations.runbook, `docs/alerts.md#${alert.toLowerCase()}`);
  });

  it("the expressions of each dashboard are valid, and its panels have ids of their own", () => {
    const folder = mkdtempSync(join(tmpdir(), "nebula-dashboards-"));
    try {
      for (const dashboard of DASHBOARDS) {
        const rules = expressionsOf(dashboard).map((expr, index) => ({ record: `panel:${index}`, expr }));
        assert.ok(rules.length > 10, dashboard);
        const path = join(folder, "rules.yaml");
        writeFileSync(path, stringify({ groups: [{ name: dashboard, rules }] }));
        const { status, said } = promtool(["check", "rules", path]);
        assert.equal(status, 0, said);
        const shown = panels(dashboard);
        assert.equal(new Set(shown.map(({ id }) => id)).size, shown.length, dashboard);
        assert.equal(new Set(shown.map(({ title }) => title)).size, shown.length, dashboard);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("metrics of running components", function () {
  this.timeout(240_000);
  const stack = new AsyncDisposableStack();
  const served = new Map<string, string>();

  before(async function () {
    requireCommand(this, "promtool", "Debian: prometheus");
    const cluster = stack.use(await Cluster.start({ servers: await requireServers(this), shards: 1 }));
    const metricsPort = await freePort();
    const login = { NEBULA_USER: "admin", NEBULA_PASSWORD: cluster.password, NEBULA_DEVICE_GROUP: "shops" };
    const worker = stack.use(
      new SimulatedWorker({
        server: `http://${cluster.gateway.address}`,
        deviceId: "device-1",
        env: { ...login, NEBULA_METRICS_LISTEN: `127.0.0.1:${metricsPort}` },
      }),
    );
    const addresses = [
      ...cluster.members.map(({ name, metricsAddress }) => [name, metricsAddress] as const),
      ["worker", `127.0.0.1:${metricsPort}`] as const,
    ];
    const [shard] = cluster.shards;
    await eventually(async () => worker.program.ended || (await shard?.metric("nebula_watches")) === 1, { timeoutMs: 60_000 });
    await eventually(async () => worker.program.ended || ((await cluster.reporters[0]?.metric("nebula_reporter_reports_total")) ?? 0) > 0, {
      timeoutMs: 60_000,
    });
    assert.ok(!worker.program.ended, worker.output);
    for (const [name, address] of addresses) served.set(name, await (await fetch(`http://${address}/metrics`)).text());
  });
  after(() => stack.disposeAsync());

  it("promtool check metrics finds nothing on manager, gateway, reporter and worker", () => {
    assert.deepEqual([...served.keys()], ["shard-0", "reporter-0", "gateway", "worker"]);
    for (const [name, text] of served) {
      assert.match(text, /^nebula_build_info\{/m, name);
      assert.deepEqual({ name, ...promtool(["check", "metrics"], text) }, { name, status: 0, said: "" });
    }
  });

  it("running components have each metric that alerts and dashboards name", () => {
    const known = new Set(OF_PROMETHEUS);
    for (const text of served.values()) {
      for (const [, name = "", type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
        known.add(name);
        if (type === "histogram") for (const suffix of ["_bucket", "_sum", "_count"]) known.add(name + suffix);
      }
    }
    const places = [
      ...alerts().map(({ alert, expr }) => ({ place: alert, expr })),
      ...DASHBOARDS.flatMap((dashboard) => expressionsOf(dashboard).map((expr) => ({ place: dashboard, expr }))),
    ];
    const named = places.flatMap(({ place, expr }) => metricsIn(expr).map((metric) => ({ place, metric })));
    assert.deepEqual(
      named.filter(({ metric }) => !known.has(metric)),
      [],
    );
    assert.ok(new Set(named.map(({ metric }) => metric)).size > 40);
  });

  it("running components have each metric that the pages of docs/ name", () => {
    const all = [...served.values()].join("\n");
    const pages = readdirSync(join(FOLDER, "../docs")).filter((name) => name.endsWith(".md"));
    const missing = pages.flatMap((page) => {
      const named = readFileSync(join(FOLDER, "../docs", page), "utf8").matchAll(/`((?:nebula|nodejs|process)_[a-z0-9_]+)[`{]/g);
      return [...named].flatMap(([, metric = ""]) => (all.includes(`# TYPE ${metric} `) ? [] : [`${page}: ${metric}`]));
    });
    assert.deepEqual(missing, []);
  });
});
