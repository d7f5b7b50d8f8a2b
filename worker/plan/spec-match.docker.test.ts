import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { openDockerFixture } from "../runtime/docker/fixture.ts";
import { fits, fitsItsLabel } from "./spec-match.ts";

/** The fields that a spec may have, each by itself. */
const FIELDS: Partial<ContainerSpec> = {
  env: { GREETING: "hello=world", EMPTY: "" },
  ports: [
    { hostPort: 20_080, containerPort: 80, protocol: "tcp" },
    { hostPort: 20_053, containerPort: 53, protocol: "udp" },
    { hostPort: 20_081, containerPort: 80, protocol: "tcp", address: "127.0.0.1" },
    { hostPort: 20_082, containerPort: 80, protocol: "tcp", address: "::1" },
  ],
  volumes: ["/tmp:/mnt", "/tmp:/ro:ro"],
  devices: ["/dev/null", "/dev/zero:/dev/nothing:rw"],
  privileged: true,
  restartPolicy: "unless-stopped",
  command: ["sleep", "1"],
  entrypoint: ["/bin/busybox"],
  healthcheck: { test: ["CMD", "true"], intervalMs: 2000, timeoutMs: 0, retries: 2, startPeriodMs: 500 },
  cpus: 0.5,
  memoryBytes: 64 * 1024 * 1024,
  logging: { driver: "json-file", options: { "max-size": "1m" } },
  labels: { team: "shop" },
  capAdd: ["NET_ADMIN", "SYS_TIME"],
  capDrop: ["MKNOD"],
  ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
  user: "1000:1000",
  workingDir: "/tmp",
  hostname: "somebody",
  extraHosts: ["db:10.0.0.1"],
  shmBytes: 1024 * 1024,
  tmpfs: { "/scratch": "size=1m" },
  readOnly: true,
  init: true,
  networks: ["none"],
};

describe("a container on a real engine, compared by what inspect tells", function () {
  this.timeout(60_000);
  const { signal } = new AbortController();
  const opened = new AsyncDisposableStack();
  let engine: Awaited<ReturnType<typeof openDockerFixture>>;

  before(async function () {
    await requireDocker(this);
    engine = opened.use(await openDockerFixture());
  });
  after(() => opened.disposeAsync());

  async function compared(spec: ContainerSpec) {
    const labels = { orchestrator: "nebula", "nebula.instance": `adoption-${randomBytes(4).toString("hex")}`, ...engine.label };
    const id = await engine.runtime.create({ name: `adoption-${randomBytes(6).toString("hex")}`, spec, labels }, signal);
    const details = await engine.runtime.inspectContainer(id, signal);
    return { details, image: await engine.runtime.inspectImage(details.container.imageId, signal) };
  }

  const cases = Object.entries(FIELDS).map(([field, value]): [string, Partial<ContainerSpec>] => [field, { [field]: value }]);
  for (const [field, part] of [["nothing", {}] as const, ...cases]) {
    it(`a container on a real engine fits the spec it was made of, and no other, where that says ${field}`, async () => {
      const bare: ContainerSpec = { ...engine.specs.sleeps, command: [] };
      const spec = { ...bare, ...part };
      const container = await compared(spec);
      assert.ok(fits(container, spec, true), "over every field");
      assert.ok(fits(container, spec, false), "over what the spec says");
      assert.ok(fitsItsLabel(container, spec), "what its label names");
      assert.ok(fitsItsLabel({ ...container, image: undefined }, spec), "what its label names, where its image is gone");
      const others = cases.filter(([other]) => other !== field);
      const wrong = others.filter(([, otherPart]) => fits(container, { ...spec, ...otherPart }, true)).map(([other]) => other);
      assert.deepEqual(wrong, [], "fields that it took for the same");
      if (field !== "nothing") assert.ok(!fits(container, bare, true));
    });
  }

  it("a container fits its label also on a network that was added by hand, and not with another image, variable, port, mount or mode", async () => {
    const spec: ContainerSpec = { ...engine.specs.sleeps, ...FIELDS, networks: ["bridge"] };
    const container = await compared(spec);
    const { details } = container;
    const added = { ...container, details: { ...details, container: { ...details.container, networks: ["bridge", "added"] } } };
    assert.ok(fitsItsLabel(added, spec));
    const others: readonly Partial<ContainerSpec>[] = [
      { image: "docker.io/library/busybox:2" },
      { env: { GREETING: "hello" } },
      { env: {} },
      { ports: [] },
      { volumes: [] },
      { devices: [] },
      { privileged: false },
      { restartPolicy: "no" },
      { networks: ["none"] },
    ];
    for (const other of others) assert.ok(!fitsItsLabel(container, { ...spec, ...other }), JSON.stringify(other));
  });

  it("a container on a real engine fits a spec that says all at once", async () => {
    const spec: ContainerSpec = { ...engine.specs.sleeps, ...FIELDS, networks: ["bridge"] };
    assert.ok(fits(await compared(spec), spec, true));
  });
});
