import { strict as assert } from "node:assert";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { createLog } from "../../common/log/log.ts";
import { bareSpec } from "../../common/testing/bare-spec.ts";
import { type ConfigInit, perServer } from "../../common/testing/config-builder.ts";
import { LABEL } from "../observed/labels.ts";
import { Rig, type RigOptions } from "../testing/rig.ts";

const signal = new AbortController().signal;
type AppInit = NonNullable<NonNullable<ConfigInit["apps"]>[string]>;

const SPEC: ContainerSpec = {
  ...bareSpec("shop:1"),
  env: { MODE: "fast" },
  ports: [{ hostPort: 80, containerPort: 8080, protocol: "tcp" }],
  networks: ["nebula"],
  volumes: ["/data:/data:rw"],
  devices: ["/dev/null:/dev/null:rwm"],
  restartPolicy: "unless-stopped",
};

/** The app that asks for SPEC. */
const APP: AppInit = {
  dockerImage: "docker.io/shop:1",
  envVars: { MODE: "fast" },
  startingPorts: [{ hostPort: 80, containerPort: 8080 }],
  networks: ["nebula"],
  volumes: ["/data:/data"],
  devices: ["/dev/null"],
};

const v2Labels = (app: string) => ({ orchestrator: "nebula", container_type: "app", app_name: app });

async function rigWith(
  spec: Partial<ContainerSpec>,
  { name = "web-1", labels = v2Labels("web"), ...options }: RigOptions & { name?: string; labels?: Record<string, string> } = {},
) {
  const rig = new Rig(options);
  await rig.runtime.createNetwork("nebula", {}, signal);
  const id = await rig.runtime.create({ name, spec: { ...SPEC, ...spec }, labels }, signal);
  await rig.runtime.start(id, signal);
  rig.calls.length = 0;
  return { rig, id };
}

describe("containers of the original", () => {
  it("containers of the original that fit are taken over without being touched, and stay so", async () => {
    const { rig, id } = await rigWith({});
    await using _ = rig;
    await rig.start({ apps: { web: APP } });
    assert.equal(rig.stateOf("web"), "applied");
    assert.equal(rig.named("web-1").id, id);
    assert.deepEqual(
      rig.calls.map(({ method }) => method).filter((method) => !/^(list|inspect|info|events)/.test(method)),
      [],
    );
    await rig.start({ apps: { web: APP } });
    await rig.start({ apps: { web: APP } }, { keep: false });
    assert.equal(rig.named("web-1").id, id, "with or without what was kept");
  });

  it("containers of the original that were taken over are replaced by a change of anything, a field that v2 did not know included", async () => {
    const { rig, id } = await rigWith({});
    await using _ = rig;
    await rig.start({ apps: { web: APP } });
    await rig.apply({ apps: { web: { ...APP, revision: 2n, user: "1000" } } });
    assert.notEqual(rig.named("web-1").id, id);
    assert.equal(rig.named("web-1").labels[LABEL.instance], "main");
  });

  const differences: Readonly<Record<string, Partial<ContainerSpec>>> = {
    "an image": { image: "shop:2" },
    "a variable": { env: { MODE: "slow" } },
    "a variable more": { env: { MODE: "fast", MORE: "" } },
    "a port": { ports: [{ hostPort: 81, containerPort: 8080, protocol: "tcp" }] },
    "a mount": { volumes: ["/data:/data:ro"] },
    "a device": { devices: [] },
    "its rights": { privileged: true },
    "its restart policy": { restartPolicy: "no" },
    "its network": { networks: ["bridge"] },
  };
  for (const [what, spec] of Object.entries(differences)) {
    it(`containers of the original that differ by ${what} are replaced as usual`, async () => {
      const { rig, id } = await rigWith(spec);
      await using _ = rig;
      await rig.start({ apps: { web: APP } });
      assert.deepEqual(rig.shown, ["web-1 running"]);
      assert.notEqual(rig.named("web-1").id, id);
    });
  }

  it("containers of the original are counted in the log at the first look, and are owned only with container_type and the name of their unit", async () => {
    const lines: string[] = [];
    const log = createLog({ level: "info", part: "worker", destination: { write: (line) => lines.push(line) } });
    const { rig } = await rigWith({}, { log });
    await using _ = rig;
    const bare = { ...SPEC, ports: [] };
    const labels: readonly Record<string, string>[] = [
      { orchestrator: "nebula" },
      { orchestrator: "nebula", container_type: "app" },
      { orchestrator: "nebula", app_name: "web" },
      { orchestrator: "nebula", container_type: "cron_job", app_name: "web" },
      { orchestrator: "nebula", container_type: "other", app_name: "web" },
    ];
    for (const [i, own] of labels.entries()) await rig.runtime.create({ name: `bare-${i}`, spec: bare, labels: own }, signal);
    await rig.start({ apps: { web: APP } });
    await rig.apply({ apps: {} });
    assert.deepEqual(
      rig.shown,
      labels.map((_labels, i) => `bare-${i} created`),
    );
    const told = lines.filter((line) => line.includes("containers of the original are owned"));
    assert.equal(told.length, 1);
    assert.match(told[0] ?? "", /"adopted":1,/);
  });

  it("containers of the original are distinguished by the number in their names, and removed when there are too many", async () => {
    const { rig, id } = await rigWith({}, { name: "web-3" });
    await using _ = rig;
    await rig.start({ apps: { web: { ...APP, startingPorts: [{ hostPort: 78, containerPort: 8080 }], containersPer: perServer(3) } } });
    assert.equal(rig.named("web-3").id, id);
    await rig.apply({ apps: { web: { ...APP, revision: 2n, startingPorts: [{ hostPort: 78, containerPort: 8080 }] } } });
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("containers of the original whose apps are not in the group are removed, but not before the first config has come", async () => {
    const { rig, id } = await rigWith({}, { labels: v2Labels("old") });
    await using _ = rig;
    await rig.start();
    await rig.pass(10 * 60_000);
    assert.equal(rig.named("web-1").id, id);
    await rig.apply({ apps: {} });
    assert.deepEqual(rig.shown, []);
  });

  it("containers of the original are left alone by any instance but main, and where adoption is off", async () => {
    for (const identity of [{ instance: "demo" }, { adopt: false }]) {
      const { rig, id } = await rigWith({ ports: [] }, { identity });
      await using _ = rig;
      await rig.start({ apps: { db: {} } });
      assert.equal(rig.named("web-1").id, id);
    }
  });
});

describe("containers that a newer worker made", () => {
  const labels = (spec: string) => ({
    ...v2Labels("web"),
    [LABEL.instance]: "main",
    [LABEL.index]: "1",
    [LABEL.spec]: spec,
    [LABEL.boot]: "earlier",
    [LABEL.cluster]: "c1.1",
  });

  it("containers that a newer worker made are compared over every field, and stay where all are the same", async () => {
    const { rig, id } = await rigWith({}, { labels: labels("2:abc") });
    await using _ = rig;
    await rig.start({ apps: { web: APP } });
    assert.equal(rig.named("web-1").id, id);
    assert.equal(rig.stateOf("web"), "applied");
    rig.calls.length = 0;
    await rig.pass(5 * 60_000);
    assert.deepEqual(rig.methods("inspectContainer"), [], "once is enough");
  });

  it("containers that a newer worker made are re-created where one field differs that the config does not name", async () => {
    const { rig, id } = await rigWith({ user: "1000" }, { labels: labels("2:abc") });
    await using _ = rig;
    await rig.start({ apps: { web: APP } });
    assert.notEqual(rig.named("web-1").id, id);
  });
});

describe("containers of a newer config", () => {
  const config = (revision: bigint, image: string, cluster = { id: "c1", epoch: 1n }) => ({
    cluster,
    apps: { web: { revision, dockerImage: image } },
  });

  it("containers of a newer config are never taken back by an older entry of the same cluster, until a newer one comes", async () => {
    await using rig = new Rig();
    await rig.start(config(7n, "shop:2"));
    const { id } = rig.named("web-1");
    await rig.start(config(5n, "shop:1"), { keep: false });
    assert.equal(rig.named("web-1").id, id);
    assert.match(rig.stateOf("web"), /^failed: config: the config has revision 5, older than 7/);
    await rig.apply(config(8n, "shop:1"));
    assert.equal(rig.revisionOf("web-1"), "8");
  });

  it("containers of a newer config of another cluster, or a lower epoch, are replaced", async () => {
    await using rig = new Rig();
    await rig.start(config(7n, "shop:2"));
    await rig.apply(config(1n, "shop:1", { id: "c2", epoch: 1n }));
    assert.equal(rig.revisionOf("web-1"), "1");
    await rig.apply(config(1n, "shop:2", { id: "c2", epoch: 2n }));
    assert.match(rig.named("web-1").image, /shop:2/);
  });

  it("containers of a higher epoch make a config of a lower one be ignored", async () => {
    await using rig = new Rig();
    await rig.start(config(7n, "shop:2", { id: "c1", epoch: 2n }));
    const { id } = rig.named("web-1");
    await rig.start(config(9n, "shop:1"), { keep: false });
    assert.equal(rig.named("web-1").id, id);
    assert.deepEqual(rig.problems, ["older_epoch"]);
  });
});
