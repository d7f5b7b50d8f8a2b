import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Registry } from "prom-client";
import { parse, parseAllDocuments } from "yaml";
import { silentLog } from "../../common/log/log.ts";
import { startMetricsServer } from "../../common/metrics/metrics-server.ts";
import { resolveSettings } from "../../common/settings/resolve-settings.ts";
import { type Command, usedBy } from "../../common/settings/setting.ts";
import type { Settings } from "../../common/settings/settings.ts";
import { ALL_SETTINGS } from "../../common/settings/settings-table.ts";
import { carriesPassword } from "../../common/settings/urls.ts";
import { requireCommand } from "../../common/testing/require-command.ts";
import { VERSION } from "../../common/version.ts";

const CHART = join(import.meta.dirname, "nebula");
const VALUES = readdirSync(join(CHART, "ci")).toSorted();
const HINT = "go install helm.sh/helm/v3/cmd/helm@v3.22.0";
const SECRET_FILE = /^\/etc\/nebula\/(?:secrets|tls)\/[\w.-]+$/;

type Labels = Readonly<Record<string, string>>;
type Port = Readonly<{ name: string; port: number; targetPort: string; containerPort: number }>;
type Probe = Readonly<{ httpGet: Readonly<{ path: string; port: string }> }>;
type Container = Readonly<{
  args: readonly [Command];
  env: readonly Variable[];
  envFrom?: readonly Readonly<{ configMapRef: Readonly<{ name: string }> }>[];
  ports?: readonly Port[];
  volumeMounts: readonly Readonly<{ name: string; mountPath: string }>[];
  resources: Readonly<Record<"requests" | "limits", Readonly<{ memory: string }>>>;
  startupProbe: Probe;
  livenessProbe: Probe;
  readinessProbe: Probe;
}>;
type Pod = Readonly<{
  containers: readonly Container[];
  volumes: readonly Readonly<{ name: string; secret?: object }>[];
  terminationGracePeriodSeconds: number;
  topologySpreadConstraints: readonly Readonly<{ topologyKey: string }>[];
}>;

/** The parts of Kubernetes objects that are looked at here; each field of `spec` is there in the kinds that have it. */
type Manifest = Readonly<{
  kind: string;
  metadata: Readonly<{ name: string; labels: Labels; annotations?: Labels }>;
  data?: Labels;
  spec: Readonly<{
    template: Readonly<{ spec: Pod }>;
    replicas: number;
    serviceName: string;
    podManagementPolicy: string;
    maxUnavailable: number;
    clusterIP: string;
    type: string;
    selector: Readonly<Record<string, string | Labels>>;
    ports: readonly Port[];
    ingress: readonly Readonly<{ ports: readonly Readonly<{ port: string }>[] }>[];
    podSelector: Readonly<{ matchLabels: Labels }>;
    scaleTargetRef: Readonly<{ name: string }>;
    endpoints: readonly Readonly<{ port: string; path: string; relabelings: readonly Readonly<{ replacement: string }>[] }>[];
  }>;
}>;
type Variable = Readonly<{ name: string; value?: string; valueFrom?: Readonly<{ fieldRef: Readonly<{ fieldPath: string }> }> }>;

function helm(...args: readonly string[]): Readonly<{ status: number | null; said: string; stdout: string }> {
  const { status, stdout, stderr } = spawnSync("helm", args, { encoding: "utf8" });
  return { status, said: stdout + stderr, stdout };
}

function render(values: string, ...more: readonly string[]): ReturnType<typeof helm> {
  return helm("template", "shop", CHART, "--namespace", "fleet", "--kube-version", "1.31.0", "--values", join(CHART, "ci", values), ...more);
}

/** A chart that is rendered with one file of values. */
class Rendered {
  readonly manifests: readonly Manifest[];

  constructor(values: string) {
    const { status, said, stdout } = render(values);
    assert.equal(status, 0, said);
    this.manifests = parseAllDocuments(stdout)
      .map((document) => document.toJS())
      .filter((manifest) => manifest !== null);
  }

  ofKind(kind: string): readonly Manifest[] {
    return this.manifests.filter((manifest) => manifest.kind === kind);
  }

  one(kind: string, name: string): Manifest {
    return this.ofKind(kind).find(({ metadata }) => metadata.name === name) ?? assert.fail(`there is no ${kind} ${name}`);
  }

  /** The manifests that start containers of Nebula: of each the only container, and the command that it runs. */
  workloads() {
    return this.manifests
      .filter(({ kind }) => ["StatefulSet", "Deployment", "Job"].includes(kind))
      .map((manifest) => {
        const pod = manifest.spec.template.spec;
        assert.equal(pod.containers.length, 1);
        const container = pod.containers[0] ?? assert.fail();
        const [command] = container.args;
        return { manifest, pod, container, command };
      });
  }

  /** The environment of a container as Kubernetes makes it, in the first pod of its workload. */
  environmentOf({ container, manifest }: ReturnType<Rendered["workloads"]>[number]): Record<string, string> {
    const given: Record<string, string> = {};
    for (const { configMapRef } of container.envFrom ?? []) Object.assign(given, this.one("ConfigMap", configMapRef.name).data);
    for (const { name, value, valueFrom } of container.env) {
      const filledIn = value?.replaceAll(/\$\((\w+)\)/g, (_, other) => given[other] ?? assert.fail(`${other} is not defined before ${name}`));
      given[name] = filledIn ?? (valueFrom?.fieldRef.fieldPath === "metadata.name" ? `${manifest.metadata.name}-0` : assert.fail(name));
    }
    return given;
  }

  settingsOf(workload: ReturnType<Rendered["workloads"]>[number]): Settings {
    const { settings, warnings } = resolveSettings({
      command: workload.command,
      args: [],
      env: this.environmentOf(workload),
      readFile: (path) => (SECRET_FILE.test(path) ? "a secret of a test" : assert.fail(path)),
    });
    assert.deepEqual(
      warnings.filter((warning) => !warning.includes("TLS")),
      [],
    );
    return settings;
  }
}

describe("the Helm chart", function () {
  this.timeout(120_000);
  before(function () {
    requireCommand(this, "helm", HINT);
  });

  for (const values of VALUES) {
    describe(`with ${values}`, () => {
      let chart: Rendered;
      before(() => {
        chart = new Rendered(values);
      });

      it("helm lint finds nothing", () => {
        const { status, said } = helm("lint", "--strict", CHART, "--values", join(CHART, "ci", values));
        assert.equal(status, 0, said);
      });

      it("manager, gateway, reporter and, before them, migrate start with settings that they take", () => {
        const workloads = chart.workloads();
        assert.deepEqual(workloads.map(({ command }) => command).toSorted(), ["gateway", "manager", "migrate", "reporter"]);
        for (const workload of workloads) {
          const { store, redis, bus, clusterKey } = chart.settingsOf(workload);
          for (const [variable, value, begins] of [
            ["NEBULA_STORE", store, "cassandra:"],
            ["NEBULA_REDIS", redis, "redis"],
            ["NEBULA_BUS", bus, "kafka:"],
            ["NEBULA_CLUSTER_KEY", clusterKey, "a secret of a test"],
          ] as const) {
            const setting = ALL_SETTINGS.find((one) => one.variable === variable) ?? assert.fail(variable);
            if (usedBy(setting, workload.command)) assert.ok(value?.startsWith(begins), `${workload.command}: ${variable}`);
          }
          assert.equal(
            workload.manifest.metadata.annotations?.["helm.sh/hook"],
            workload.command === "migrate" ? "pre-install,pre-upgrade" : undefined,
          );
        }
      });

      it("each variable is in the settings table, and each part gets its own alone", () => {
        const known = new Map(
          ALL_SETTINGS.flatMap((one) => [[one.variable as string, one] as const, ...(one.secret ? [[`${one.variable}_FILE`, one] as const] : [])]),
        );
        const shared = Object.keys(chart.one("ConfigMap", "shop-settings").data ?? {});
        for (const { container, command } of chart.workloads()) {
          for (const { name } of container.env) {
            if (name === "NODE_OPTIONS") continue;
            const setting = known.get(name) ?? assert.fail(name);
            assert.ok(usedBy(setting, command) || shared.includes(name), `${command}: ${name}`);
          }
        }
        for (const name of shared) assert.ok(known.has(name), name);
      });

      it("no secret is in a ConfigMap, in a variable, or in a Secret of the chart", () => {
        assert.deepEqual(chart.ofKind("Secret"), []);
        const secret = new Set<string>(ALL_SETTINGS.filter((one) => one.secret).map(({ variable }) => variable));
        const given = [
          ...chart.ofKind("ConfigMap").flatMap(({ data = {} }) => Object.entries(data)),
          ...chart.workloads().flatMap(({ container }) => container.env.map(({ name, value = "" }) => [name, value] as const)),
        ];
        assert.ok(given.length > 10);
        for (const [name, value] of given) {
          assert.ok(!secret.has(name), name);
          assert.ok(!carriesPassword(value), name);
          if (name.endsWith("_FILE")) assert.match(value, SECRET_FILE);
        }
        for (const { pod, container } of chart.workloads()) {
          const mounted = new Map<string, string>(container.volumeMounts.map(({ name, mountPath }) => [name, mountPath]));
          const secrets = pod.volumes.filter((volume) => volume.secret !== undefined);
          for (const { name } of secrets) assert.ok(mounted.get(name)?.startsWith("/etc/nebula/"), name);
        }
      });

      it("containers have the ports of their settings, and no other port is named by a probe, a service or a network policy", () => {
        const portsOf = (component: string): ReadonlyMap<string, number> => {
          const { container } = chart.workloads().find(({ command }) => command === component) ?? assert.fail(component);
          return new Map((container.ports ?? []).map(({ name, containerPort }) => [name, containerPort]));
        };
        for (const workload of chart.workloads()) {
          if (workload.command === "migrate") continue;
          const { grpcListen, httpListen, metricsListen } = chart.settingsOf(workload);
          const own = { manager: { grpc: grpcListen }, gateway: { http: httpListen } }[workload.command as string] ?? {};
          const listens = Object.entries({ ...own, metrics: metricsListen });
          for (const [, address] of listens) assert.equal(address?.host, "0.0.0.0");
          assert.deepEqual(
            [...portsOf(workload.command)],
            listens.map(([name, address]) => [name, address?.port]),
          );
          for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"] as const)
            assert.equal(workload.container[probe].httpGet.port, "metrics");
        }
        for (const { spec, metadata } of chart.ofKind("Service")) {
          const component = spec.selector["app.kubernetes.io/component"];
          const parts = typeof component === "string" ? [component] : ["manager", "gateway", "reporter"];
          for (const part of parts)
            for (const { targetPort } of spec.ports) assert.ok(portsOf(part).has(targetPort), `${metadata.name}: ${targetPort}`);
        }
        for (const { spec } of chart.ofKind("NetworkPolicy")) {
          const component = spec.podSelector.matchLabels["app.kubernetes.io/component"] ?? assert.fail();
          const named = spec.ingress.flatMap(({ ports }) => ports.map(({ port }) => port));
          assert.deepEqual(named.toSorted(), component === "migrate" ? [] : [...portsOf(component).keys()].toSorted());
        }
        const gateway = chart.workloads().find(({ command }) => command === "gateway") ?? assert.fail();
        const [manager] = chart.settingsOf(gateway).managers;
        assert.deepEqual([manager?.host, manager?.port], ["shop-manager.fleet.svc", portsOf("manager").get("grpc")]);
        assert.equal(chart.one("Service", "shop-manager").spec.clusterIP, "None");
      });

      it("probes ask for paths that the parts serve, and restart none for an engine that is absent", async () => {
        const missing = ["an engine"];
        const listen = { host: "127.0.0.1", port: 0, given: true };
        await using server = await startMetricsServer({ listen, registry: new Registry(), ready: () => missing, log: silentLog });
        const status = async (path: string) => (await fetch(`http://127.0.0.1:${server.address?.port}${path}`)).status;
        for (const { container, command } of chart.workloads()) {
          if (command === "migrate") continue;
          assert.equal(await status(container.startupProbe.httpGet.path), 200);
          assert.equal(await status(container.livenessProbe.httpGet.path), 200);
          assert.equal(await status(container.readinessProbe.httpGet.path), 503);
        }
      });

      it("a manager keeps its name, has time to drain, has an address, and is disrupted alone", () => {
        const workload = chart.workloads().find(({ command }) => command === "manager") ?? assert.fail();
        const { manifest, pod, container } = workload;
        const { shard, drainMs, grpcAdvertise, redirect } = chart.settingsOf(workload);
        assert.equal(manifest.kind, "StatefulSet");
        assert.equal(manifest.spec.podManagementPolicy, "Parallel");
        assert.equal(manifest.spec.serviceName, "shop-manager");
        assert.equal(shard, "shop-manager-0");
        assert.ok(pod.terminationGracePeriodSeconds * 1000 >= drainMs + 15_000);
        assert.equal(chart.one("PodDisruptionBudget", "shop-manager").spec.maxUnavailable, 1);
        assert.equal(pod.topologySpreadConstraints[0]?.topologyKey, "kubernetes.io/hostname");
        assert.equal(container.resources.requests.memory, container.resources.limits.memory);
        assert.deepEqual(
          chart.ofKind("HorizontalPodAutoscaler").filter(({ spec }) => spec.scaleTargetRef.name === "shop-manager"),
          [],
        );
        const addresses = chart.ofKind("Service").filter(({ spec, metadata }) => spec.type === "LoadBalancer" && metadata.name.includes("manager"));
        assert.equal(addresses.length, redirect ? manifest.spec.replicas : 1);
        for (const { spec } of addresses) assert.equal(spec.ports[0]?.port, Number(grpcAdvertise?.split(":").at(-1)));
        if (redirect) assert.match(grpcAdvertise ?? "", /^shop-manager-0\./);
        else assert.ok(manifest.spec.replicas <= 4);
      });
    });
  }

  it("the memory of a manager follows from its devices, and is more with TLS", () => {
    const memory = (...more: readonly string[]) =>
      /memory: (\d+)Mi\n\s+limits:\n\s+memory: \1Mi/.exec(
        render("load-balancer-values.yaml", "--show-only", "templates/manager.yaml", ...more).stdout.replaceAll(
          /requests: \{ cpu: \S+, (memory: \d+Mi) \}/g,
          "$1",
        ),
      )?.[1];
    assert.deepEqual(
      [memory(), memory("--set", "manager.devicesPerShard=20000"), memory("--set", "tls.existingSecret=tls")].map(Number),
      [852, 1321, 1555],
    );
  });

  it("the chart is of the version of the code", () => {
    assert.equal(parse(readFileSync(join(CHART, "Chart.yaml"), "utf8")).appVersion, VERSION);
  });

  it("a ServiceMonitor names the port of a service, and the jobs that the alerts expect", () => {
    const chart = new Rendered("monitored-values.yaml");
    const monitor = chart.one("ServiceMonitor", "shop");
    const [endpoint] = monitor.spec.endpoints;
    const { metadata, spec } = chart.one("Service", "shop-metrics");
    for (const [label, value] of Object.entries(monitor.spec.selector.matchLabels ?? {})) assert.equal(metadata.labels[label], value);
    assert.deepEqual([endpoint?.port, endpoint?.path, spec.ports[0]?.name], ["metrics", "/metrics", "metrics"]);
    assert.equal(endpoint?.relabelings[0]?.replacement, "nebula-$1");
  });

  for (const [what, args, reason] of [
    ["more than 4 managers behind one load balancer", ["manager.replicas=5"], /replicas/],
    ["more reporters than partitions", ["reporter.replicas=49"], /invalid reporter\.replicas 49: use at most 48/],
    ["a password in a URL", ["engines.redis=redis://user:secret@redis:6379"], /redis/],
    ["a secret among the settings", ["settings.NEBULA_ADMIN_PASSWORD=secret"], /NEBULA_ADMIN_PASSWORD/],
    ["a setting that the chart makes itself", ["settings.NEBULA_SHARD=one"], /NEBULA_SHARD/],
    ["no secret", ["secrets.existingSecret="], /existingSecret/],
    ["no address", ["addresses.host="], /host/],
    ["shards with addresses of their own and no domain", ["addresses.mode=perPod"], /domain/],
    ["an embedded store", ["engines.store=sqlite:"], /store/],
    ["an unknown value", ["manager.replica=3"], /replica/],
    ["fewer gateways at most than at least", ["gateway.replicas=9"], /maxReplicas 6: use at least gateway\.replicas, 9/],
  ] as const) {
    it(`values with ${what} are refused`, () => {
      const { status, said } = render("load-balancer-values.yaml", ...args.flatMap((value) => ["--set", value]));
      assert.notEqual(status, 0);
      assert.match(said, reason);
      assert.doesNotMatch(said, /invalid type|got string, want (?:integer|number)/);
    });
  }
});
