import assert from "node:assert/strict";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { normaliseImageReference } from "../../common/validation/container/image-reference.ts";
import { collectEvents } from "./collect-events.ts";
import type { RuntimeFixture } from "./contract-fixture.ts";
import { describeHostParts } from "./contract-host.ts";
import { ContractRig, randomName, rejectsWith } from "./contract-rig.ts";

/** The promises of every ContainerRuntime. */
export function describeContainerRuntime(name: string, open: () => Promise<RuntimeFixture>): void {
  describe(`container runtime: ${name}`, function () {
    this.timeout(60_000);
    const rig = ContractRig.describe(open);
    const { signal, fixture, labels, create, started, find, listed, until } = rig;

    it("the runtime says which engine it is", async () => {
      const info = await fixture().runtime.info(signal);
      assert.ok(info.cores >= 1 && info.memoryBytes > 0 && info.hostname !== "" && info.engineVersion !== "" && info.apiVersion !== "");
    });

    describe("the life of a container", () => {
      it("a container is created, started, stopped and removed", async () => {
        const { runtime, specs, image } = fixture();
        const containerName = randomName();
        const id = await create({ ...specs.sleeps, labels: { purpose: "life" } }, containerName);
        const made = await listed(id);
        assert.equal(made.name, containerName);
        assert.equal(made.phase, "created");
        assert.equal(made.startedAt, undefined);
        assert.equal(normaliseImageReference(made.image), image);
        assert.deepEqual(made.networks, ["bridge"]);
        assert.equal(made.labels.orchestrator, "nebula");
        assert.equal(made.labels.purpose, "life");

        await runtime.start(id, signal);
        const running = await listed(id);
        assert.equal(running.phase, "running");
        assert.equal(running.health, "none");
        assert.ok(running.startedAt !== undefined && running.startedAt >= running.createdAt);

        await runtime.stop(id, 0, signal);
        const stopped = await listed(id);
        assert.equal(stopped.phase, "exited");
        assert.ok(stopped.finishedAt !== undefined && stopped.exitCode !== undefined);

        await runtime.remove(id, { force: false }, signal);
        assert.equal(await find(id), undefined);
      });

      it("a start of a running container, a stop of a stopped one and a removal of a missing one succeed", async () => {
        const { runtime, specs } = fixture();
        const id = await started(specs.sleeps);
        await runtime.start(id, signal);
        await runtime.stop(id, 0, signal);
        await runtime.stop(id, 0, signal);
        await runtime.remove(id, { force: false }, signal);
        await runtime.remove(id, { force: false }, signal);
      });

      it("a running container is removed only by force", async () => {
        const { runtime, specs } = fixture();
        const id = await started(specs.sleeps);
        await rejectsWith(["failed_precondition"], runtime.remove(id, { force: false }, signal));
        assert.equal((await listed(id)).phase, "running");
        await runtime.remove(id, { force: true }, signal);
        assert.equal(await find(id), undefined);
      });

      it("a container is restarted", async () => {
        const { runtime, specs } = fixture();
        const id = await started(specs.sleeps);
        const before = await listed(id);
        await fixture().pass(1000);
        await runtime.restart(id, 0, signal);
        const after = await listed(id);
        assert.equal(after.phase, "running");
        assert.ok((after.startedAt ?? 0) > (before.startedAt ?? Number.MAX_VALUE), "it was not started again");
      });

      it("a container is unpaused without a restart, and a paused one is stopped", async () => {
        const { runtime, specs, pause } = fixture();
        const id = await started(specs.sleeps);
        const { startedAt } = await listed(id);
        await pause(id);
        assert.equal((await listed(id)).phase, "paused");
        await runtime.unpause(id, signal);
        await runtime.unpause(id, signal);
        const after = await listed(id);
        assert.deepEqual([after.phase, after.startedAt], ["running", startedAt]);
        await pause(id);
        await runtime.stop(id, 0, signal);
        assert.equal((await listed(id)).phase, "exited");
        await rejectsWith(["not_found"], runtime.unpause("f".repeat(64), signal));
      });

      it("a container is renamed, and no name belongs to two", async () => {
        const { runtime, specs } = fixture();
        const [first, second] = [randomName(), randomName()];
        const id = await create(specs.sleeps, first);
        await rejectsWith(["already_exists"], create(specs.sleeps, first));
        const other = await create(specs.sleeps, second);
        await rejectsWith(["already_exists"], runtime.rename(other, first, signal));
        await runtime.rename(id, randomName(), signal);
        await runtime.rename(other, first, signal);
        assert.equal((await listed(other)).name, first);
      });

      it("a container that ended is shown with its end", async () => {
        const id = await started(fixture().specs.exits);
        const ended = await until(id, (container) => container.phase === "exited");
        assert.equal(ended.exitCode, 3);
        assert.equal(ended.restartCount, 0);
      });

      it("a container is started again where its restart policy says so, and counted", async () => {
        const id = await started({ ...fixture().specs.exits, restartPolicy: "unless-stopped" });
        await until(id, (container) => container.restartCount >= 2);
        await fixture().runtime.stop(id, 0, signal);
        assert.equal((await listed(id)).phase, "exited");
      });

      it("a missing container is not found", async () => {
        const { runtime } = fixture();
        const nobody = "f".repeat(64);
        await rejectsWith(["not_found"], runtime.inspectContainer(nobody, signal));
        await rejectsWith(["not_found"], runtime.start(nobody, signal));
        await rejectsWith(["not_found"], runtime.stop(nobody, 0, signal));
        await rejectsWith(["not_found"], runtime.restart(nobody, 0, signal));
        await rejectsWith(["not_found"], runtime.rename(nobody, randomName(), signal));
        await rejectsWith(["not_found"], runtime.stats(nobody, signal));
      });

      it("a container that cannot run is refused at its start, and kept", async () => {
        const id = await create(fixture().specs.refused);
        await rejectsWith(["failed_precondition", "invalid_argument"], fixture().runtime.start(id, signal));
        assert.notEqual((await listed(id)).phase, "running");
      });

      it("a running container is measured", async () => {
        const id = await started(fixture().specs.sleeps);
        for (const stats of [await fixture().runtime.stats(id, signal), await fixture().runtime.stats(id, signal)]) {
          assert.ok(stats.memoryBytes >= 0 && Number.isFinite(stats.cpuPercent) && stats.cpuPercent >= 0, JSON.stringify(stats));
        }
      });
    });

    it("a container whose start hangs is shown, and every other one; the start's end is its caller's limit or the engine's", async () => {
      const { runtime, specs, hanging, pass } = fixture();
      const { spec, end } = await hanging();
      const whilePassing = async <T>(work: Promise<T>): Promise<T> => {
        let ended = false;
        const result = work.finally(() => {
          ended = true;
        });
        result.catch(() => {}); // the caller awaits it
        await eventually(() => pass(500).then(() => ended), { timeoutMs: 20_000, everyMs: 50 });
        return result;
      };
      const [id, other] = [await create(spec), await started(specs.sleeps)];
      const refusal = rejectsWith(["failed_precondition"], runtime.start(id, signal));
      refusal.catch(() => {}); // awaited below
      try {
        const shown = await whilePassing(runtime.listContainers(signal));
        const [hangs, runs] = [id, other].map((wanted) => shown.find((container) => container.id === wanted));
        assert.equal(hangs?.phase, "created");
        assert.match(hangs?.listedOnly?.failure ?? "", /did not answer within 10000 ms/);
        assert.equal(runs?.listedOnly, undefined);
        assert.ok(runs?.startedAt !== undefined);

        const leftOut = (await runtime.listContainers(signal, new Set([id]))).find((container) => container.id === id);
        assert.deepEqual(leftOut?.listedOnly, { failure: undefined });
        const given = new AbortController();
        const inspect = rejectsWith(["cancelled"], runtime.inspectContainer(id, given.signal));
        given.abort();
        await inspect;
        const successor = runtime.create({ name: randomName(), spec, labels: labels(), successorOf: id }, signal);
        await rejectsWith(["deadline_exceeded"], whilePassing(successor), /which is replaced, can't be inspected/);
      } finally {
        await end();
      }
      await refusal;
      assert.equal((await listed(id)).listedOnly, undefined);
    });

    describe("health", () => {
      it("health is starting, then healthy", async () => {
        const id = await started(fixture().specs.healthy);
        assert.ok(["starting", "healthy"].includes((await listed(id)).health));
        await until(id, (container) => container.health === "healthy");
      });

      it("health that becomes unhealthy is an event", async () => {
        const seen = await collectEvents(fixture().runtime, async (events) => {
          const id = await started(fixture().specs.unhealthy);
          await until(id, (container) => container.health === "unhealthy");
          await eventually(() => events.some((event) => event.id === id && event.action === "health_status: unhealthy"));
        });
        assert.ok(
          seen.every((event) => !event.action.startsWith("exec_")),
          "events of every single check were passed on",
        );
      });
    });

    describeHostParts(rig);

    describe("inspect", () => {
      it("an inspect shows the whole spec", async () => {
        const { runtime, specs } = fixture();
        const spec: ContainerSpec = {
          ...specs.sleeps,
          env: { GREETING: "hello=world", EMPTY: "" },
          ports: [
            { hostPort: await fixture().freePort(), containerPort: 80, protocol: "tcp" },
            { hostPort: await fixture().freePort(), containerPort: 80, protocol: "tcp" },
          ],
          volumes: ["/tmp:/mnt:ro"],
          devices: ["/dev/null:/dev/nothing:rw"],
          restartPolicy: "unless-stopped",
          healthcheck: { test: ["CMD", "true"], intervalMs: 2000, timeoutMs: 1000, retries: 2, startPeriodMs: 500 },
          cpus: 0.5,
          memoryBytes: 64 * 1024 * 1024,
          logging: { driver: "json-file", options: { "max-size": "1m" } },
          labels: { team: "shop" },
          capAdd: ["NET_ADMIN"],
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
        };
        const details = await runtime.inspectContainer(await create(spec), signal);
        const { env, labels: shownLabels, ...shown } = details.spec;
        const { env: wantedEnv, labels: wantedLabels, ...wanted } = spec;
        assert.deepEqual(shown, wanted);
        assert.deepEqual({ ...env, ...wantedEnv }, env);
        assert.deepEqual({ ...shownLabels, ...wantedLabels, ...labels() }, shownLabels);
        assert.deepEqual(details.portBindings, spec.ports);
        assert.deepEqual(details.binds, spec.volumes);
        assert.deepEqual(details.devices, spec.devices);
        assert.equal(details.restartPolicy, "unless-stopped");
        assert.equal(details.privileged, false);
        assert.ok(details.env.includes("GREETING=hello=world") && details.env.includes("EMPTY="));
      });

      it("an inspect shows absent fields of the spec as absent", async () => {
        const { specs, runtime } = fixture();
        const details = await runtime.inspectContainer(await create(specs.sleeps), signal);
        const { env: _env, labels: _labels, ...shown } = details.spec;
        const { env: _wantedEnv, labels: _wantedLabels, ...wanted } = specs.sleeps;
        assert.deepEqual(shown, wanted);
      });
    });

    describe("images", () => {
      it("images on the engine are listed, and others are not found", async () => {
        const { runtime, image, missingImage } = fixture();
        const images = await runtime.listImages(signal);
        const found = images.find(({ references }) => references.includes(image));
        assert.ok(found, `${image} is not listed`);
        const details = await runtime.inspectImage(image, signal);
        assert.equal(details?.id, found.id);
        assert.equal(details?.hasHealthcheck, false);
        assert.equal(await runtime.inspectImage(missingImage, signal), undefined);
      });

      it("an image that does not exist refuses a container", async () => {
        await rejectsWith(["not_found"], create({ ...fixture().specs.sleeps, image: fixture().missingImage }));
      });

      it("an image that a container uses is not removed", async () => {
        const { runtime, specs } = fixture();
        const container = await listed(await create(specs.sleeps));
        await rejectsWith(["failed_precondition"], runtime.removeImage(container.imageId, signal));
        assert.ok(await runtime.inspectImage(specs.sleeps.image, signal), "the image lost its name");
        await rejectsWith(["not_found"], runtime.removeImage(`sha256:${"f".repeat(64)}`, signal));
      });

      it("a pull that failed says why, and one that is not wanted any more ends", async () => {
        const { runtime, missingImage } = fixture();
        const pull = (pullSignal: AbortSignal) => runtime.pull(missingImage, { login: undefined, onLine: () => {}, signal: pullSignal });
        await rejectsWith(["not_found", "failed_precondition", "unauthenticated"], pull(signal));
        await rejectsWith(["cancelled"], pull(AbortSignal.abort()));
      });
    });

    describe("events", () => {
      it("events report changes of containers from the call on", async () => {
        const { runtime, specs } = fixture();
        let id = "";
        const seen = await collectEvents(runtime, async (events) => {
          id = await create(specs.sleeps);
          await runtime.start(id, signal);
          await runtime.rename(id, randomName(), signal);
          await runtime.stop(id, 0, signal);
          await runtime.remove(id, { force: false }, signal);
          await eventually(() => events.some((event) => event.id === id && event.action === "destroy"));
        });
        const ours = seen.filter((event) => event.id === id);
        const actions = ours.map(({ action }) => action);
        for (const action of ["create", "start", "rename", "die", "stop", "destroy"])
          assert.ok(actions.includes(action), `no ${action} in ${actions}`);
        for (const event of ours) {
          assert.equal(event.type, "container");
          assert.deepEqual({ ...event.labels, ...labels() }, event.labels);
          assert.ok(event.at > 0);
        }
      });
    });

    it("a call whose signal is aborted ends", async () => {
      await rejectsWith(["cancelled"], fixture().runtime.listContainers(AbortSignal.abort()));
    });
  });
}
