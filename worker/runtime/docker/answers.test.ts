import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { type Json, recordOf } from "../json.ts";
import { parseEvent } from "./events.ts";
import { inspectedContainer, inspectedDetails, inspectedImage } from "./inspect.ts";
import { listedContainers, listedImages, listedNetworks } from "./list.ts";
import { pullLineError } from "./pull.ts";
import { statsOf } from "./stats.ts";

const ID = "3f4e8c1b9a7d52604e8f1c3b5a7d9e0f2143658709badcfe3f4e8c1b9a7d5260";
const IMAGE_ID = "sha256:08254ccb8c43cd5e39592ece5eb8b75d719659dc99f7daa6e023dde3b5d569e9";
const NETWORK_ID = "952531fcdf6022523e50019aa91f2f442d0754eef729256932cdd2abe8edfdc3";
const DIGEST = "sha256:5c6453624bc49dbe7ea4dc6e3405a54780d9ec2b49f7cc3e2cb2f6fbef71715c";
const LABELS = { orchestrator: "nebula", "nebula.instance": "main", app_name: "web" };
const HEALTHCHECK = { test: ["CMD-SHELL", "exit 1"], intervalMs: 2000, timeoutMs: 1000, retries: 2, startPeriodMs: 0 };

/** Answers of engines of three API versions, about the same containers and images. */
async function answersOf(version: string): Promise<Json> {
  return recordOf(JSON.parse(await readFile(new URL(`./answers/${version}.json`, import.meta.url), "utf8")));
}

for (const version of ["1.41", "1.44", "1.52"]) {
  describe(`answers of API ${version}`, () => {
    let answers: Json = {};
    before(async () => {
      answers = await answersOf(version);
    });

    it("the answers list containers", () => {
      const [web, db, ...more] = listedContainers(answers.list);
      assert.deepEqual(more, []);
      assert.deepEqual(web, {
        id: ID,
        name: "web-1",
        labels: LABELS,
        phase: "running",
        health: "unhealthy",
        image: "busybox:1",
        imageId: IMAGE_ID,
        hostPorts: [{ hostPort: 8080, protocol: "tcp" }],
        networks: ["bridge", "nebula"],
        networkIds: [NETWORK_ID, NETWORK_ID],
        createdAt: 1795520375000,
        startedAt: undefined,
        finishedAt: undefined,
        exitCode: undefined,
        restartCount: 0,
      });
      assert.equal(db?.name, "db");
      assert.equal(db?.phase, "exited");
      assert.equal(db?.health, "none");
      assert.deepEqual(db?.labels, {});
    });

    it("the answers inspect a container", () => {
      assert.deepEqual(inspectedContainer(answers.inspect), {
        id: ID,
        name: "web-1",
        labels: LABELS,
        phase: "running",
        health: "unhealthy",
        image: "busybox:1",
        imageId: IMAGE_ID,
        hostPorts: [
          { hostPort: 5353, protocol: "udp" },
          { hostPort: 8080, protocol: "tcp" },
        ],
        networks: ["nebula", "bridge"],
        networkIds: [NETWORK_ID, NETWORK_ID],
        createdAt: Date.parse("2026-11-24T11:39:35.119Z"),
        startedAt: Date.parse("2026-11-24T11:39:35.421Z"),
        finishedAt: undefined,
        exitCode: undefined,
        restartCount: 2,
      });
    });

    it("the answers inspect a container's spec", () => {
      const { container: _container, ...details } = inspectedDetails(answers.inspect, "json-file");
      const ports = [
        { hostPort: 8080, containerPort: 80, protocol: "tcp" },
        { hostPort: 5353, containerPort: 53, protocol: "udp" },
      ];
      assert.deepEqual(details, {
        env: ["GREETING=hello=world", "PATH=/bin"],
        portBindings: ports,
        binds: ["/srv:/data:ro"],
        devices: ["/dev/null:/dev/nothing:rw"],
        anonymousVolumes: [],
        privileged: false,
        restartPolicy: "unless-stopped",
        spec: {
          image: "docker.io/library/busybox:1",
          env: { GREETING: "hello=world", PATH: "/bin" },
          ports,
          networks: ["nebula", "bridge"],
          volumes: ["/srv:/data:ro"],
          devices: ["/dev/null:/dev/nothing:rw"],
          privileged: false,
          restartPolicy: "unless-stopped",
          command: ["sleep", "3600"],
          entrypoint: [],
          healthcheck: HEALTHCHECK,
          cpus: 0.5,
          memoryBytes: 67108864,
          logging: undefined,
          labels: LABELS,
          capAdd: ["NET_ADMIN"],
          capDrop: [],
          ulimits: [{ name: "nofile", soft: 100, hard: 200 }],
          user: "",
          workingDir: "",
          hostname: "",
          extraHosts: [],
          shmBytes: 0,
          tmpfs: {},
          readOnly: false,
          init: false,
        },
      });
    });

    it("the answers show a log driver as asked for if it differs from the one of a spec without logging", () => {
      assert.deepEqual(inspectedDetails(answers.inspect, "journald").spec.logging, {
        driver: "json-file",
        options: { "max-size": "10m", "max-file": "3" },
      });
    });

    it("the answers list and inspect images", () => {
      const references = ["docker.io/library/busybox:1", `docker.io/library/busybox@${DIGEST}`];
      const [busybox, dangling] = listedImages(answers.images);
      assert.deepEqual(busybox, { id: IMAGE_ID, references, sizeBytes: 1984132, createdAt: 1795518748000, labels: {} });
      assert.deepEqual(dangling?.references, []);
      assert.deepEqual(inspectedImage(answers.image), {
        id: IMAGE_ID,
        references,
        sizeBytes: 1984132,
        createdAt: Date.parse("2026-11-24T11:12:28.967Z"),
        env: ["PATH=/bin"],
        hasHealthcheck: true,
        healthcheck: { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 0, retries: 0, startPeriodMs: 0 },
        command: ["sh"],
        entrypoint: [],
        user: "",
        workingDir: "",
        labels: {},
        volumes: [],
      });
    });

    it("the answers contain an event", () => {
      assert.deepEqual(parseEvent(answers.event), {
        type: "container",
        action: "health_status: unhealthy",
        id: ID,
        labels: LABELS,
        at: 1795520376467,
      });
    });
  });
}

describe("answers of engines to come", () => {
  it("the answers of engines to come are read with any content", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const item = recordOf(value);
        for (const answer of [
          value,
          [value],
          { State: value, Config: value, HostConfig: value, NetworkSettings: { Networks: value, Ports: value } },
          { ...item, Health: value },
        ]) {
          inspectedDetails(answer, "json-file");
          inspectedImage(answer);
          listedContainers(answer);
          listedImages(answer);
          listedNetworks(answer);
          parseEvent(answer);
          pullLineError(answer);
          statsOf(answer, undefined);
        }
      }),
    );
  });

  it("the answers of engines to come hold no event of ours when it is about a volume, or about nothing", () => {
    assert.equal(parseEvent({ Type: "volume", Action: "create", Actor: { ID: "data" } }), undefined);
    assert.equal(parseEvent({ Type: "container", Action: "start" }), undefined);
  });
});
