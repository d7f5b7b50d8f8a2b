import { strict as assert } from "node:assert";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { SAMPLE_TIME_MS } from "../../common/testing/sample-report.ts";
import { validateReport } from "../../common/validation/device-requests.ts";
import { ContainerState, type Report, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { encodedOriginalReport, originalReport, SECRET_IN_SAMPLE } from "../testing/original-report.ts";
import { type ParsedOriginal, parseOriginalReport } from "./parse-original-report.ts";

const RECEIVED_MS = SAMPLE_TIME_MS + 1500;

function parse(changes: Readonly<Record<string, unknown>> = {}): ParsedOriginal {
  return parseOriginalReport(encodedOriginalReport(changes), RECEIVED_MS);
}

function reportOf(changes: Readonly<Record<string, unknown>> = {}): Report {
  const parsed = parse(changes);
  return parsed.kind === "report" ? parsed.report : assert.fail(parsed.reason);
}

function text(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

describe("a report of the original's worker", () => {
  it("a report of the original is its host's, of the boot v2, numbered by the second at which it was made", () => {
    const { deviceId, deviceGroup, boot, seq, createdAt, receivedAt, groupRevision, pruneId, workerVersion } = reportOf();
    assert.deepEqual([deviceId, deviceGroup, boot, seq], ["pos-0042", "shops", "v2", 1767225600n]);
    assert.deepEqual([createdAt, receivedAt], [timestampFromMs(1767225600_000), timestampFromMs(RECEIVED_MS)]);
    assert.deepEqual([groupRevision, pruneId, workerVersion], [5n, 2n, "original"]);
  });

  it("a report of the original is numbered by the second at which the bus took it where the device's clock is over 5 minutes ahead, so later ones count", () => {
    const at = (seconds: number) => reportOf({ report_creation_time: Math.floor(RECEIVED_MS / 1000) + seconds });
    assert.equal(at(301).seq, BigInt(Math.floor(RECEIVED_MS / 1000)));
    assert.equal(at(300).seq, BigInt(Math.floor(RECEIVED_MS / 1000) + 300));
    assert.equal(at(-100_000).seq, BigInt(Math.floor(RECEIVED_MS / 1000) - 100_000));
    assert.deepEqual(at(100_000).createdAt, timestampFromMs(Math.floor(RECEIVED_MS / 1000) * 1000 + 100_000_000));
  });

  it("a report of the original has the revisions of the device, and its running containers", () => {
    const { state, apps, cronJobs } = reportOf();
    assert.equal(state, TargetState.APPLIED);
    assert.deepEqual(
      apps.map(({ name, revision, appliedRevision, containers }) => [name, revision, appliedRevision, containers.length]),
      [
        ["web", 7n, 7n, 1],
        ["cache", 3n, 3n, 0],
      ],
    );
    const [web] = apps[0]?.containers ?? [];
    assert.ok(web);
    assert.deepEqual(
      [web.name, web.state, web.image, web.memoryBytes],
      ["web-1", ContainerState.RUNNING, "registry.example.com/shop:1.5", 46137344n],
    );
    assert.ok(Math.abs(web.cpuPercent - 10) < 0.01, `${web.cpuPercent}: 0.1 s of the 4 cores' 4 s`);
    assert.deepEqual(
      cronJobs.map(({ name, appliedRevision, containers }) => [name, appliedRevision, containers.map((run) => run.name)]),
      [["sync", 4n, ["sync-1767225540-1"]]],
    );
  });

  it("a report of the original has the host's metrics", () => {
    const { host } = reportOf();
    assert.deepEqual([host?.hostname, host?.cpuCores, host?.cpuUsedPercent], ["pos-0042", 4, 12.5]);
    assert.deepEqual([host?.memoryTotalBytes, host?.memoryAvailableBytes], [3906n * 1048576n, 2458n * 1048576n]);
    assert.deepEqual([host?.diskTotalBytes, host?.diskFreeBytes], [29687n * 1048576n, 19296n * 1048576n]);
  });

  it("a report of the original has an app with too few containers as failed, and none for one that must not run", () => {
    const { state, apps } = reportOf({ apps_containers: [] });
    assert.equal(state, TargetState.FAILED);
    assert.deepEqual(
      apps.map((app) => [app.state, app.reason]),
      [
        [TargetState.FAILED, "0 of at least 1 containers run"],
        [TargetState.APPLIED, ""],
      ],
    );
  });

  it("a report of the original may hold the manager's whole answer in place of its config, as workers put it there", () => {
    const reply = originalReport().current_device_group_config;
    const { apps, groupRevision } = reportOf({ current_device_group_config: { status_code: 200, reply } });
    assert.deepEqual([apps.map(({ name }) => name), groupRevision], [["web", "cache"], 5n]);
  });

  it("a report of the original tells apps apart whose names begin alike", () => {
    const config = { apps: [{ app_name: "web" }, { app_name: "web-1" }, { app_name: "w.b" }] };
    const { apps } = reportOf({
      current_device_group_config: config,
      apps_containers: [{ name: "/web-1-1" }, { name: "/web-2" }, { name: "/web-3" }],
    });
    assert.deepEqual(
      apps.map(({ containers }) => containers.map(({ name }) => name)),
      [["web-2", "web-3"], ["web-1-1"], []],
    );
  });

  it("a report of the original is kept whole, but for the values of environment variables", () => {
    const parsed = parse({ apps_containers: [{ name: "/web-1", Config: { Env: ["PASSWORD=hunter2", "hunter2"] } }] });
    assert.ok(parsed.kind === "report");
    assert.equal(parsed.updated, true);
    assert.ok(!parsed.json.includes(SECRET_IN_SAMPLE), parsed.json);
    const kept = JSON.parse(parsed.json);
    assert.deepEqual(kept.current_device_group_config.apps[0].env_vars, { DATABASE_PASSWORD: "", REGION: "" });
    assert.deepEqual(kept.apps_containers[0].Config.Env, ["PASSWORD=", ""]);
    assert.deepEqual(kept.memory_usage, originalReport().memory_usage);
    assert.ok(!JSON.stringify(parsed.report, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)).includes(SECRET_IN_SAMPLE));
  });

  it("a report of the original may lack everything but its device and its time", () => {
    const least = { hostname: "h", device_group: "g", report_creation_time: 1 };
    const parsed = parseOriginalReport(text(least), RECEIVED_MS);
    assert.ok(parsed.kind === "report" && parsed.updated === undefined);
    for (const name of Object.keys(least)) {
      const refused = parseOriginalReport(text({ ...least, [name]: undefined }), RECEIVED_MS);
      assert.ok(refused.kind === "unreadable" && refused.reason.includes(name), `${name}: ${JSON.stringify(refused)}`);
    }
  });

  it("a report of the original is refused without a word of its content if it is unreadable", () => {
    for (const bad of [`{"env_vars": {"A": "hunter2"`, "{", `{"a": ${"[".repeat(200_000)}`, `{"a": ${"[".repeat(1000)}${"]".repeat(1000)}}`]) {
      const parsed = parseOriginalReport(text(bad), RECEIVED_MS);
      assert.ok(parsed.kind === "unreadable" && !parsed.reason.includes(SECRET_IN_SAMPLE), JSON.stringify(parsed));
    }
    assert.equal(parseOriginalReport(Uint8Array.from([0x7b, 0xff, 0x7d]), RECEIVED_MS).kind, "unreadable");
  });

  it("a report of the original is valid or refused for any shape and any bytes", () => {
    const anyMember = fc.constantFrom(...Object.keys(originalReport()), "apps", "env_vars");
    const shapes = fc.dictionary(anyMember, fc.jsonValue()).map((changes) => encodedOriginalReport(changes));
    const config = fc.jsonValue().map((apps) => encodedOriginalReport({ current_device_group_config: { apps: [apps], cron_jobs: [apps] } }));
    const good = encodedOriginalReport();
    const damaged = fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => good.with(at, byte));
    fc.assert(
      fc.property(fc.oneof(shapes, config, damaged, fc.uint8Array()), (value) => {
        const parsed = parseOriginalReport(value, RECEIVED_MS);
        if (parsed.kind === "report") assert.deepEqual(validateReport(parsed.report, "report"), []);
      }),
      { numRuns: 2000 },
    );
  });
});
