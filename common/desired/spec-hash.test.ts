import { strict as assert } from "node:assert";
import { bareSpec } from "../testing/bare-spec.ts";
import type { ContainerSpec } from "./container-spec.ts";
import { compareSpecLabel, specHash } from "./spec-hash.ts";

const BARE: ContainerSpec = { ...bareSpec("shop:1"), restartPolicy: "unless-stopped", networks: ["nebula"] };
const FULL: ContainerSpec = {
  image: "docker.io/library/shop:1",
  env: { B: "2", A: "", "10": "ten" },
  ports: [
    { hostPort: 80, containerPort: 8080, protocol: "tcp" },
    { hostPort: 53, containerPort: 53, protocol: "udp" },
  ],
  networks: ["nebula", "bridge"],
  volumes: ["/a:/b:ro"],
  devices: ["/dev/null"],
  privileged: true,
  restartPolicy: "no",
  command: ["serve", "--all"],
  entrypoint: ["/init"],
  healthcheck: { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 0, retries: 3, startPeriodMs: 0 },
  cpus: 0.5,
  memoryBytes: 64 * 1024 * 1024,
  logging: { driver: "json-file", options: { "max-size": "1m" } },
  labels: { team: "shop" },
  capAdd: ["NET_ADMIN"],
  capDrop: ["MKNOD"],
  ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
  user: "1000",
  workingDir: "/srv",
  hostname: "till",
  extraHosts: ["db:10.0.0.1"],
  shmBytes: 1024,
  tmpfs: { "/scratch": "size=1m" },
  readOnly: true,
  init: true,
};

describe("the hash of a spec", () => {
  it("the hash of a spec never changes: another value would re-create every container of every fleet", () => {
    assert.equal(specHash({ spec: BARE, restartCount: 0n }), "1:ee65f23c2ccb2057bfc711285b3634daa0cca0ab273f5ea796d21a045528798a");
    assert.equal(specHash({ spec: FULL, restartCount: 7n }), "1:63c8bc4f2137397428551b76051d4c034c211342f691f0b8ee5741207b934451");
  });

  it("the hash of a spec differs with the address of a port, and not where a port has none", () => {
    const [port] = FULL.ports;
    assert.ok(port !== undefined);
    const hashOf = (address?: string) =>
      specHash({ spec: { ...BARE, ports: [{ ...port, ...(address === undefined ? {} : { address }) }] }, restartCount: 0n });
    assert.equal(new Set([hashOf(), hashOf("127.0.0.1"), hashOf("10.0.0.1")]).size, 3);
  });

  it("the hash of a spec does not depend on the order of maps", () => {
    const turned = { ...FULL, env: { "10": "ten", A: "", B: "2" } };
    assert.equal(specHash({ spec: turned, restartCount: 7n }), specHash({ spec: FULL, restartCount: 7n }));
  });

  it("the hash of a spec differs with every field, the restart count, and a variable that is empty", () => {
    const hashes = new Set([specHash({ spec: BARE, restartCount: 0n }), specHash({ spec: BARE, restartCount: 1n })]);
    const fields = Object.entries(FULL).map(([field, value]) => ({ ...BARE, [field]: value }));
    const changed = fields.filter((spec) => JSON.stringify(spec) !== JSON.stringify(BARE));
    for (const spec of changed) hashes.add(specHash({ spec, restartCount: 0n }));
    hashes.add(specHash({ spec: { ...BARE, env: { A: "" } }, restartCount: 0n }));
    assert.equal(hashes.size, 2 + changed.length + 1);
    assert.equal(changed.length, Object.keys(FULL).length - 1, "all but the image, which is the same");
  });

  it("hashes are compared by the function that a label names, and are unknown where there is no such function", () => {
    const hashed = { spec: FULL, restartCount: 0n };
    assert.equal(compareSpecLabel(specHash(hashed), hashed), "same");
    assert.equal(compareSpecLabel(specHash(hashed), { ...hashed, restartCount: 1n }), "different");
    for (const label of [undefined, "", "2:abc", "toString:abc"]) assert.equal(compareSpecLabel(label, hashed), "unknown");
  });
});
