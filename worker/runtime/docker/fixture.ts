import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { silentLog } from "../../../common/log/log.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { freePort } from "../../../common/testing/free-port.ts";
import { DOCKER_SOCKET } from "../../../common/testing/require-docker.ts";
import type { RuntimeFixture } from "../contract-fixture.ts";
import { recordOf, textOf } from "../json.ts";
import { DockerConnection } from "./connection.ts";
import { openDockerRuntime } from "./docker.ts";
import { listedContainers, listedNetworks } from "./list.ts";

const IMAGE = "docker.io/library/busybox:1";
const URL = `docker://${DOCKER_SOCKET}`;

/** The engine of the tests. For tests only. */
export async function openDockerFixture(): Promise<RuntimeFixture & Readonly<{ engine: DockerConnection }>> {
  const runtime = await openDockerRuntime({ url: URL, clock: systemClock, log: silentLog });
  const engine = new DockerConnection(URL);
  const label = { "nebula.contract": randomBytes(8).toString("hex") };
  const sleeps = { ...bareSpec(IMAGE), command: ["sleep", "3600"] };
  const check = { intervalMs: 200, timeoutMs: 2000, retries: 1, startPeriodMs: 0 };
  const images = await imagesWithVolumes(engine, label);
  return {
    runtime,
    engine,
    label,
    image: IMAGE,
    missingImage: "127.0.0.1:1/nebula/missing:1",
    specs: {
      sleeps,
      exits: { ...sleeps, command: ["sh", "-c", "exit 3"] },
      healthy: { ...sleeps, healthcheck: { ...check, test: ["CMD", "true"] } },
      unhealthy: { ...sleeps, healthcheck: { ...check, test: ["CMD-SHELL", "exit 1"] } },
      refused: { ...sleeps, command: ["/no/such/program"] },
    },
    hanging: async () => {
      const sockets: Socket[] = [];
      const silent = createServer((socket) => sockets.push(socket.on("error", () => {})));
      await once(silent.listen(0, "127.0.0.1"), "listening");
      const address = silent.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      const logging = { driver: "syslog", options: { "syslog-address": `tcp+tls://127.0.0.1:${port}` } };
      const end = async () => {
        for (const socket of sockets) socket.destroy();
        silent.close();
      };
      return { spec: { ...sleeps, logging }, end };
    },
    pause: async (id) => void (await engine.call({ what: "pause", method: "POST", path: `/containers/${id}/pause` }, new AbortController().signal)),
    withVolumes: images,
    volumesOf: async (names) => {
      const signal = AbortSignal.timeout(30_000);
      const inspect = (name: string) => engine.call({ what: "inspect volume", method: "GET", path: `/volumes/${name}`, fineStatus: 404 }, signal);
      const found = await Promise.all(names.map(async (name) => ((await inspect(name)) === undefined ? [] : [name])));
      return found.flat();
    },
    freePort,
    duplicateNetwork: async (name) => {
      const body = { Name: name, Driver: "bridge", CheckDuplicate: false, Labels: label };
      const request = { what: "create network", method: "POST", path: "/networks/create", body } as const;
      return textOf(recordOf(await engine.call(request, AbortSignal.timeout(30_000))).Id);
    },
    pass: async () => {},
    [Symbol.asyncDispose]: async () => {
      await removeLabelled(engine, label);
      for (const image of images) {
        const request = {
          what: "remove image",
          method: "DELETE",
          path: `/images/${encodeURIComponent(image)}`,
          query: { force: true },
          fineStatus: 404,
        } as const;
        await engine.call(request, AbortSignal.timeout(30_000));
      }
      engine[Symbol.dispose]();
      await runtime[Symbol.asyncDispose]();
    },
  };
}

/** Two images of a name of the suite's own, the first with volumes /data and /log, the second with /data and /more. */
async function imagesWithVolumes(engine: DockerConnection, label: Readonly<Record<string, string>>): Promise<[string, string]> {
  const signal = AbortSignal.timeout(30_000);
  const repo = `nebula-contract-${randomBytes(6).toString("hex")}`;
  const body = { Image: "busybox:1", Labels: label };
  const container = textOf(recordOf(await engine.call({ what: "create container", method: "POST", path: "/containers/create", body }, signal)).Id);
  const commit = async (tag: string, changes: string) => {
    await engine.call({ what: "commit", method: "POST", path: "/commit", query: { container, repo, tag, changes } }, signal);
    return `docker.io/library/${repo}:${tag}`;
  };
  const images: [string, string] = [await commit("1", "VOLUME /data /log"), await commit("2", "VOLUME /data /more")];
  await engine.call({ what: "remove container", method: "DELETE", path: `/containers/${container}` }, signal);
  return images;
}

/** Removes the containers, networks and images with a label. */
async function removeLabelled(engine: DockerConnection, label: Readonly<Record<string, string>>): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  const filters = JSON.stringify({ label: Object.entries(label).map(([name, value]) => `${name}=${value}`) });
  const read = (path: string) => engine.call({ what: `clean up ${path}`, method: "GET", path, query: { filters, all: true } }, signal);
  const remove = (path: string) =>
    engine.call({ what: `remove ${path}`, method: "DELETE", path, query: { force: true, v: true }, fineStatus: 404 }, signal);
  for (const { id } of listedContainers(await read("/containers/json"))) await remove(`/containers/${id}`);
  for (const { id } of listedNetworks(await read("/networks"))) await remove(`/networks/${id}`);
}
