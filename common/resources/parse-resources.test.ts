import { strict as assert } from "node:assert";
import { create, toJson } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { parseResourceFiles, parseResources, resourceViolationLine } from "./parse-resources.ts";
import type { Resource } from "./resource.ts";

function resources(text: string): readonly Resource[] {
  const parsed = parseResources(text, "shop.yaml");
  assert.ok(parsed.kind === "resources", faults(text).join());
  return parsed.resources;
}

function faults(text: string): string[] {
  const parsed = parseResources(text, "shop.yaml");
  return parsed.kind === "invalid" ? parsed.violations.map(resourceViolationLine) : [];
}

const only = (text: string) => {
  const [fault, ...more] = faults(text);
  assert.deepEqual(more, []);
  return fault ?? "nothing is wrong";
};

const WEB = "kind: app\nname: web\ndocker_image: shop:1.5\n";

describe("a resource file", () => {
  it("a resource file holds documents of the three kinds", () => {
    const read = resources(`
kind: app
name: web
docker_image: shop:1.5
starting_ports: [{"80": "8080"}, 443, "53/udp"]
containers_per: { cpu: 0.5 }
env_vars: { REGION: eu }
pull_policy: always
networks: [nebula, backend]
healthcheck:
  test: [CMD, wget, -q, http://localhost/]
  interval_ms: 5000
ulimits:
  - { name: nofile, soft: 1024, hard: -1 }
---
kind: cron_job
name: backup
docker_image: backup:1
schedule: "@daily"
overlap: replace
---
kind: device-group
name: pos
apps: [web]
cron_jobs: [backup]
spread: 2
`);
    assert.deepEqual(
      read.map(({ kind }) => kind),
      ["app", "cron_job", "device_group"],
    );
    assert.ok(read[0]?.kind === "app" && read[1]?.kind === "cron_job" && read[2]?.kind === "device_group");
    assert.deepEqual(
      read[0].app,
      create(AppSchema, {
        name: "web",
        dockerImage: "shop:1.5",
        startingPorts: [
          { hostPort: 80, containerPort: 8080, protocol: 1 },
          { hostPort: 443, containerPort: 443, protocol: 1 },
          { hostPort: 53, containerPort: 53, protocol: 2 },
        ],
        containersPer: { per: { case: "cpu", value: 0.5 } },
        envVars: { REGION: "eu" },
        pullPolicy: PullPolicy.ALWAYS,
        networks: ["nebula", "backend"],
        healthcheck: { test: ["CMD", "wget", "-q", "http://localhost/"], intervalMs: 5000 },
        ulimits: [{ name: "nofile", soft: 1024n, hard: -1n }],
      }),
    );
    assert.equal(read[1].cronJob.overlap, 2);
    assert.deepEqual(read[2].deviceGroup.cronJobs, ["backup"]);
  });

  it("a resource file gives a string field the text as it is written, quoted or not", () => {
    const [read] = resources(`${WEB}env_vars: { V: 1.10, T: true, O: 0x1F, N: , D: 2026-01-01, Q: "1.10", 80: 0o17 }\ncommand: [sleep, 010]\n`);
    assert.ok(read?.kind === "app");
    assert.deepEqual({ ...read.app.envVars }, { V: "1.10", T: "true", O: "0x1F", N: "", D: "2026-01-01", Q: "1.10", "80": "0o17" });
    assert.deepEqual(read.app.command, ["sleep", "010"]);
  });

  it("a resource file may be JSON, may use anchors, and leaves empty fields and documents out", () => {
    assert.equal(resources('{"kind": "app", "name": "web", "docker_image": "x", "running": false}').length, 1);
    const read = resources(`---\n${WEB}env_vars: &common { A: b }\nlabels: *common\nvolumes:\n---\nkind: app\nname: web2\ndocker_image: x\n---\n`);
    assert.deepEqual(
      read.map((resource) => resource.kind === "app" && toJson(AppSchema, resource.app)),
      [
        { name: "web", dockerImage: "shop:1.5", envVars: { A: "b" }, labels: { A: "b" } },
        { name: "web2", dockerImage: "x" },
      ],
    );
  });

  it("a resource file has ports as on Docker's command line", () => {
    const ports = 'starting_ports: ["8080:80", "127.0.0.1:8081:80", "53/udp", 90, {"[::1]:9090": "90"}]\n';
    const parsed = parseResources(`${WEB}${ports}`, "shop.yaml");
    assert.ok(parsed.kind === "resources");
    const [resource] = parsed.resources;
    assert.ok(resource?.kind === "app");
    assert.deepEqual(
      resource.app.startingPorts.map(({ hostAddress, hostPort, containerPort, protocol }) => [hostAddress, hostPort, containerPort, protocol]),
      [
        ["", 8080, 80, 1],
        ["127.0.0.1", 8081, 80, 1],
        ["", 53, 53, 2],
        ["", 90, 90, 1],
        ["::1", 9090, 90, 1],
      ],
    );
  });

  const refused: Readonly<Record<string, [string, RegExp]>> = {
    "an unknown field, with the nearest one": [`${WEB}docker_imag: x\n`, /^shop\.yaml:4: app web: docker_imag: unknown field; use docker_image/],
    "a field in another tool's word": [`${WEB}environment: {}\n`, /:4: .*environment: unknown field; use env_vars/],
    "a field of a message inside": [
      `${WEB}healthcheck:\n  test: [NONE]\n  interval: 5\n`,
      /:6: .*healthcheck\.interval: unknown field; use interval_ms/,
    ],
    "a field that the server sets": [`${WEB}revision: 41\n`, /:4: app web: revision: is set by the server; leave it out/],
    "a field of another kind": [`${WEB}schedule: "@daily"\n`, /:4: app web: schedule: unknown field/],
    "no kind": ["name: web\n", /^shop\.yaml:1: kind: is missing; use app, cron_job, device_group, user_group/],
    "an unknown kind": ["kind: application\n", /invalid kind "application"/],
    "a user, which is not a resource of a file": [
      "kind: user\nname: ann\n",
      /:1: kind: invalid kind "user": a file must not hold passwords and tokens/,
    ],
    "a permission that there is not": [
      "kind: user_group\nname: ops\napps:\n  web: rw\n  db: r\n",
      /:5: user_group ops: apps\.db: invalid permission "r"; use ro or rw/,
    ],
    "a kind that is nearly one": ["kind: cronjobs\n", /use cron_job/],
    "no name": ["kind: app\ndocker_image: x\n", /^shop\.yaml:1: app: name: is missing/],
    "a compose file": [
      "services:\n  web:\n    image: shop:1\n",
      /^shop\.yaml:1: invalid resource file: it is a compose file; use kind: app, as in examples\/shop\.yaml$/,
    ],
    "a compose file with a version": ['version: "3"\nservices: {}\n', /^shop\.yaml:1: invalid resource file: it is a compose file/],
    "a Kubernetes manifest": [
      "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n",
      /^shop\.yaml:1: invalid resource file: it is a Kubernetes manifest; use kind: app, as in examples\/shop\.yaml$/,
    ],
    "no image": ["# first\nkind: app\nname: web\n", /^shop\.yaml:2: app web: docker_image: an image is required/],
    "a document that is a list": ["- kind: app\n", /is not a map of fields/],
    "nothing at all": ["# nothing\n", /:1: holds no resource/],
    "a list in place of a map": [`${WEB}env_vars: [A=b]\n`, /:4: .*env_vars: is a list; use a map/],
    "a string in place of a list": [`${WEB}command: echo hi\n`, /:4: .*command: is a single value; use a list/],
    "a map in place of a string": [`${WEB}env_vars: { A: { b: c } }\n`, /env_vars\.A: is a map; use a string/],
    "an empty entry of a list": [`${WEB}command:\n  - a\n  -\n`, /:6: .*command\[1\]: is empty; use a string/],
    "a word in place of a number": [
      `${WEB}memory_limit_mb: "64"\n`,
      /memory_limit_mb: is "64"; use a whole number from 0 to 4294967295, without quotes/,
    ],
    "a number that no field takes": [`${WEB}memory_limit_mb: -1\n`, /memory_limit_mb: is "-1"; use a whole number from 0 to 4294967295/],
    "a fraction in place of a whole number": [`${WEB}memory_limit_mb: 6.5\n`, /memory_limit_mb: is "6\.5"; use a whole number/],
    "a word in place of true": [`${WEB}privileged: yes\n`, /privileged: is "yes"; use true or false/],
    "a word that an enum does not have": [`${WEB}pull_policy: sometimes\n`, /pull_policy: is "sometimes"; use one of always, missing, never/],
    "an invalid port": [`${WEB}starting_ports:\n  - 80\n  - 70000\n`, /starting_ports\[1\]: invalid port "70000"/],
    "ports in another shape": [`${WEB}starting_ports: "80"\n`, /starting_ports: is not a list of ports/],
    "no containers": [`${WEB}containers_per: { server: 0 }\n`, /:4: .*containers_per\.server: invalid number of containers "0"/],
    "a value that can't be, with the line of that very value": [
      `${WEB}volumes:\n  - /a:/a\n  - b\n`,
      /^shop\.yaml:6: app web: volumes\[1\]: "b" can't be mounted/,
    ],
    "a key twice": [`${WEB}name: web2\n`, /^shop\.yaml:4: .*unique/],
    "text that is not YAML": ["kind: app\nname: [web\n", /^shop\.yaml:\d+: /],
    "an alias of nothing": [`${WEB}env_vars: *nothing\n`, /:4: nothing before it is called &nothing/],
    "a tag that nobody knows": [`${WEB}user: !secret x\n`, /:4: .*tag/i],
    "binary data": [`${WEB}user: !!binary aGVsbG8=\n`, /:4: /],
    "half a character": [`${WEB}user: "\\ud800"\n`, /:4: this contains half a character/],
    "a key that is a list": [`${WEB}? [a]\n: 1\n`, /:4: a key is a list or a map/],
  };
  for (const [what, [text, words]] of Object.entries(refused)) it(`a resource file with ${what} is refused`, () => assert.match(only(text), words));

  it("a resource file is refused with every fault at once, in the order of the file", () => {
    assert.deepEqual(
      faults(`${WEB}cpus: -1\nuser: "a b"\n---\nkind: device_group\nname: p/s\napps: [web, web]\n`).map((line) =>
        line.split(":").slice(0, 4).join(":"),
      ),
      ["shop.yaml:4: app web: cpus", "shop.yaml:5: app web: user", "shop.yaml:8: device_group p/s: name", "shop.yaml:9: device_group p/s: apps[1]"],
    );
  });

  it("a resource may occur once, over all files", () => {
    assert.match(only(`${WEB}---\n${WEB}`), /^shop\.yaml:5: app web: name: is in shop\.yaml:1 already/);
    const parsed = parseResourceFiles([
      { name: "a.yaml", text: WEB },
      { name: "b.yaml", text: WEB },
    ]);
    assert.match(
      parsed.kind === "invalid" ? parsed.violations.map(resourceViolationLine).join() : "",
      /^b\.yaml:1: app web: name: is in a\.yaml:1 already/,
    );
    assert.equal(resources(`${WEB}---\nkind: cron_job\nname: web\ndocker_image: x\nschedule: "@daily"\n`).length, 2);
  });

  it("an error of a resource file never shows a value of env_vars", () => {
    for (const text of [`${WEB}env_vars: { A: [hunter2] }\n`, `${WEB}env_vars: {A: "hunter2\\0"}\n`, `${WEB}env_vars: { A: "hunter2, B: c }\n`]) {
      assert.ok(faults(text).length > 0);
      assert.doesNotMatch(faults(text).join(), /hunter2/);
    }
  });

  it("a resource file with aliases that multiply, or that hold themselves, is refused soon", () => {
    const bomb = `a: &a [x, x]\n${"bcdefghijklmnopqrst"
      .split("")
      .map((name, index) => `${name}: &${name} [${`*${"abcdefghijklmnopqrs"[index]}, `.repeat(9)}]`)
      .join("\n")}\n`;
    assert.ok(faults(bomb).length > 0);
    assert.ok(faults(`${WEB}starting_ports: &a [*a]\n`).length > 0);
    assert.ok(faults(`${WEB}command: &a [*a]\n`).length > 0);
  });
});
