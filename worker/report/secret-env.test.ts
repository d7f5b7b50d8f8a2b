import { strict as assert } from "node:assert";
import { toJsonString } from "@bufbuild/protobuf";
import { createLog } from "../../common/log/log.ts";
import type { ConfigInit } from "../../common/testing/config-builder.ts";
import { ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { LABEL } from "../observed/labels.ts";
import type { Look } from "../reconcile/reconcile.ts";
import { Rig } from "../testing/rig.ts";
import { composeReport } from "./compose.ts";

const signal = new AbortController().signal;

/** The report that the device would make of a look, as JSON. */
function reportOf(look: Look | undefined): string {
  assert.ok(look?.kind === "seen");
  const identity = { deviceId: "device-1", deviceGroup: "shop", boot: "b", instance: "main", startedAt: 0, etag: look.etag };
  const about = {
    isPlanned: true,
    desired: look.desired,
    states: look.plan.states,
    applied: new Map(),
    since: new Map(),
    repairs: 0,
    pruned: undefined,
    problems: [],
  };
  return toJsonString(
    ReportSchema,
    composeReport({ ...identity, ...about, stats: new Map(), imageBytes: new Map(), now: { wall: 0, monotonic: 0 } }),
  );
}

async function envOf(rig: Rig, name: string): Promise<readonly string[]> {
  return (await rig.runtime.inspectContainer(rig.named(name).id, signal)).env;
}

describe("secret_env_vars on a device", () => {
  const app = (secret: string): ConfigInit => ({ apps: { web: { envVars: { A: "1" }, secretEnvVars: { TOKEN: secret } } } });

  it("secret_env_vars are variables of the container, filled in as the others are", async () => {
    await using rig = new Rig();
    await rig.start(app("${NEBULA_DEVICE_ID} $${X}"));
    assert.equal(rig.stateOf("web"), "applied");
    const env = await envOf(rig, "web-1");
    assert.ok(env.includes("TOKEN=device-1 ${X}") && env.includes("A=1"), env.join());
  });

  it("secret_env_vars are variables of a cron_job's container, too", async () => {
    await using rig = new Rig();
    await rig.start({ cronJobs: { tidy: { schedule: "* * * * *", secretEnvVars: { TOKEN: "hunter2" } } } });
    await rig.pass(60_000, 10_000);
    const [container] = rig.containers;
    assert.ok(container !== undefined && (await envOf(rig, container.name)).includes("TOKEN=hunter2"));
  });

  it("secret_env_vars re-create a container when a value differs, and not when a variable only became secret", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: { envVars: { A: "1", TOKEN: "hunter2" } } } });
    const { id } = rig.named("web-1");
    await rig.apply(app("hunter2"));
    assert.equal(rig.named("web-1").id, id);
    await rig.apply(app("swordfish"));
    assert.notEqual(rig.named("web-1").id, id);
  });

  it("secret_env_vars get into no label, no log and no report, whether the container is made or refused", async () => {
    const logged: string[] = [];
    const log = createLog({ level: "debug", part: "worker", destination: { write: (line: string) => void logged.push(line) } });
    await using rig = new Rig({ log });
    await rig.start(app("hunter2-of-web"));
    await rig.apply({ ...app("hunter2-of-web"), cronJobs: { tidy: { schedule: "never", secretEnvVars: { TOKEN: "hunter2-of-tidy" } } } });
    await rig.apply({ apps: { web: { secretEnvVars: { TOKEN: "hunter2-of-web" }, dockerImage: "missing:1" } } });
    const reports = reportOf(rig.look);
    assert.match(reports, /missing:1/);
    const labels = JSON.stringify(rig.containers.map((container) => container.labels));
    assert.match(labels, new RegExp(LABEL.spec));
    for (const text of [...logged, labels, reports]) assert.ok(!text.includes("hunter2"), text);
    assert.ok(logged.length > 0);
  });
});
