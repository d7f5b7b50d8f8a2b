import assert from "node:assert/strict";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { type ContractRig, portsOf, randomName, rejectsWith } from "./contract-rig.ts";

/** The promises of every ContainerRuntime about what containers share with their host: ports, volumes and networks. */
export function describeHostParts({ signal, fixture, labels, create, started, listed }: ContractRig): void {
  describe("ports", () => {
    it("ports of running and of stopped containers are shown, and none belongs to two", async () => {
      const { runtime, specs } = fixture();
      const [port, udpPort] = [await fixture().freePort(), await fixture().freePort()];
      const spec: ContainerSpec = {
        ...specs.sleeps,
        ports: [
          { hostPort: port, containerPort: 80, protocol: "tcp" },
          { hostPort: udpPort, containerPort: 53, protocol: "udp" },
        ],
      };
      const [first, second] = [await create(spec), await create(spec)];
      const expected = [`${port}/tcp`, `${udpPort}/udp`].sort();
      assert.deepEqual(portsOf(await listed(first)), expected);
      await runtime.start(first, signal);
      assert.deepEqual(portsOf(await listed(first)), expected);

      await rejectsWith(["failed_precondition"], runtime.start(second, signal));
      assert.notEqual((await listed(second)).phase, "running");
      await runtime.stop(first, 0, signal);
      await runtime.start(second, signal);
      assert.equal((await listed(second)).phase, "running");
      await runtime.remove(second, { force: true }, signal);
    });
  });

  describe("ports with a host address", () => {
    it("ports with a host address are published on it alone, beside the same port on another address, and shown with it", async () => {
      const { runtime, specs } = fixture();
      const hostPort = await fixture().freePort();
      const on = (address?: string): ContainerSpec => {
        return { ...specs.sleeps, ports: [{ hostPort, containerPort: 80, protocol: "tcp", ...(address === undefined ? {} : { address }) }] };
      };
      const [first, second, same, all] = [
        await create(on("127.0.0.1")),
        await create(on("127.0.0.2")),
        await create(on("127.0.0.1")),
        await create(on()),
      ];
      for (const [id, address] of [
        [first, "127.0.0.1"],
        [second, "127.0.0.2"],
      ] as const) {
        assert.deepEqual((await listed(id)).hostPorts, [{ hostPort, protocol: "tcp", address }], "before its start");
        await runtime.start(id, signal);
        assert.deepEqual((await listed(id)).hostPorts, [{ hostPort, protocol: "tcp", address }]);
        assert.deepEqual((await runtime.inspectContainer(id, signal)).spec.ports, on(address).ports);
      }
      for (const id of [same, all]) {
        await rejectsWith(["failed_precondition"], runtime.start(id, signal));
        assert.notEqual((await listed(id)).phase, "running");
      }
      for (const id of [first, second]) await runtime.stop(id, 0, signal);
      await runtime.start(all, signal);
      assert.deepEqual((await listed(all)).hostPorts, [{ hostPort, protocol: "tcp" }]);
    });
  });

  describe("anonymous volumes", () => {
    const volumesOf = async (id: string) => {
      const { anonymousVolumes } = await fixture().runtime.inspectContainer(id, signal);
      return new Map(anonymousVolumes.map(({ path, name }) => [path, name]));
    };

    it("anonymous volumes are handed over to a successor, by name, and removed with the last container that has them", async () => {
      const { runtime, specs, withVolumes, volumesOf: onDevice } = fixture();
      const [image, newer] = withVolumes;
      const spec = { ...specs.sleeps, image };
      const first = await started(spec);
      const before = await volumesOf(first);
      assert.deepEqual([...before.keys()].sort(), ["/data", "/log"]);
      const next = async (of: ContainerSpec, successorOf: string) => {
        const id = await runtime.create({ name: randomName(), spec: of, labels: labels(), successorOf }, signal);
        await runtime.start(id, signal);
        return id;
      };
      const second = await next(spec, first);
      assert.deepEqual(await volumesOf(second), before);
      await runtime.remove(first, { force: true }, signal);
      const names = [...before.values()];
      assert.deepEqual((await onDevice(names)).length, 2, "the successor has them");

      const third = await next({ ...spec, image: newer }, second); // it declares /data and /more
      const after = await volumesOf(third);
      assert.equal(after.get("/data"), before.get("/data"));
      assert.deepEqual([...after.keys()].sort(), ["/data", "/more"]);
      assert.deepEqual((await runtime.inspectContainer(third, signal)).binds, []);
      const carriedBy = async (id: string) => [...((await listed(id)).carriedVolumes ?? [])];
      assert.deepEqual((await carriedBy(second)).sort(), names.sort());
      await runtime.remove(second, { force: true }, signal);
      for (const name of names) await runtime.removeVolume(name, signal);
      assert.deepEqual(await onDevice(names), [before.get("/data")], "what the newer image does not declare goes with its last container");
      const carried = await carriedBy(third);
      assert.deepEqual(carried, [before.get("/data")]);
      await runtime.remove(third, { force: true }, signal);
      for (const name of [...carried, ...carried]) await runtime.removeVolume(name, signal);
      assert.deepEqual(await onDevice([...names, ...after.values()]), []);
    });

    it("anonymous volumes stay on the device where a container is removed without them", async () => {
      const { runtime, specs, withVolumes, volumesOf: onDevice } = fixture();
      const id = await started({ ...specs.sleeps, image: withVolumes[0] });
      const names = [...(await volumesOf(id)).values()];
      assert.equal(names.length, 2);
      await runtime.stop(id, 0, signal);
      await runtime.remove(id, { force: false, keepsVolumes: true }, signal);
      assert.deepEqual([...(await onDevice(names))].sort(), names.sort());
      for (const name of names) await runtime.removeVolume(name, signal);
      assert.deepEqual(await onDevice(names), []);
    });

    it("anonymous volumes are not handed over to a path that the spec mounts, nor from a container that is gone", async () => {
      const { runtime, specs, withVolumes, volumesOf: onDevice } = fixture();
      const spec = { ...specs.sleeps, image: withVolumes[0], restartPolicy: "no" as const };
      const first = await create(spec);
      const before = await volumesOf(first);
      const request = { labels: labels(), successorOf: first };
      const mounted = { ...spec, tmpfs: { "/data/": "" }, volumes: ["/tmp:/log"] };
      const second = await runtime.create({ ...request, name: randomName(), spec: mounted }, signal);
      assert.deepEqual(
        [...(await volumesOf(second)).values()].filter((name) => [...before.values()].includes(name)),
        [],
      );
      await runtime.remove(first, { force: true }, signal);
      assert.deepEqual(await onDevice([...before.values()]), []);
      const third = await runtime.create({ ...request, name: randomName(), spec }, signal);
      assert.equal((await volumesOf(third)).size, 2);
      for (const id of [second, third]) await runtime.remove(id, { force: true }, signal);
    });
  });

  describe("networks", () => {
    it("a network is made once", async () => {
      const { runtime, label } = fixture();
      const network = randomName();
      await runtime.createNetwork(network, label, signal);
      await rejectsWith(["already_exists"], runtime.createNetwork(network, label, signal));
      const made = (await runtime.listNetworks(signal)).filter((candidate) => candidate.name === network);
      assert.deepEqual(
        made.map(({ driver }) => driver),
        ["bridge"],
      );
    });

    it("a container is connected to more networks than the one it was created with", async () => {
      const { runtime, label, specs } = fixture();
      const network = randomName();
      await runtime.createNetwork(network, label, signal);
      const id = await create({ ...specs.sleeps, networks: [network, "bridge"] });
      assert.deepEqual((await listed(id)).networks, [network]);
      await runtime.connectNetwork(id, "bridge", signal);
      await runtime.start(id, signal);
      assert.deepEqual([...(await listed(id)).networks].sort(), ["bridge", network].sort());
      assert.deepEqual((await runtime.inspectContainer(id, signal)).spec.networks[0], network);
      await rejectsWith(["not_found"], runtime.connectNetwork(id, randomName(), signal));
      await runtime.remove(id, { force: true }, signal);
    });

    it("networks of one name are distinguished by id, and the one that nothing uses is removed", async () => {
      const { runtime, label, specs, duplicateNetwork } = fixture();
      const name = randomName();
      await runtime.createNetwork(name, label, signal);
      const known = async () => (await runtime.listNetworks(signal)).filter((candidate) => candidate.name === name);
      const [first] = await known();
      assert.ok(first);
      assert.deepEqual(first.labels, label);
      assert.ok(first.createdAt > 0);
      const id = await started({ ...specs.sleeps, networks: [name] });
      assert.deepEqual((await listed(id)).networkIds, [first.id]);
      const second = await duplicateNetwork(name);
      const ambiguous = await create({ ...specs.sleeps, networks: [name] });
      await assert.rejects(runtime.start(ambiguous, signal), /ambiguous \(2 matches found on name\)/);
      const other = await started({ ...specs.sleeps, networks: ["bridge"] });
      await runtime.connectNetwork(other, first.id, signal);
      assert.ok((await listed(other)).networkIds.includes(first.id));
      await rejectsWith(["failed_precondition"], runtime.removeNetwork(first.id, signal));
      await runtime.disconnectNetwork(other, first.id, signal);
      await runtime.disconnectNetwork(other, first.id, signal);
      assert.ok(!(await listed(other)).networkIds.includes(first.id));
      await runtime.connectNetwork(other, second, signal);
      assert.ok((await listed(other)).networkIds.includes(second));
      await rejectsWith(["failed_precondition"], runtime.removeNetwork(second, signal));
      await runtime.disconnectNetwork(other, second, signal);
      await runtime.connectNetwork(other, first.id, signal);
      assert.ok((await listed(other)).networkIds.includes(first.id));
      await runtime.removeNetwork(second, signal);
      await runtime.disconnectNetwork(other, second, signal);
      await runtime.removeNetwork(second, signal);
      assert.deepEqual(
        (await known()).map((network) => network.id),
        [first.id],
      );
      await runtime.start(ambiguous, signal);
      assert.deepEqual((await listed(ambiguous)).networkIds, [first.id]);
      for (const container of [id, other, ambiguous]) await runtime.remove(container, { force: true }, signal);
    });

    it("the networks host and none are known", async () => {
      for (const network of ["host", "none"]) {
        const id = await started({ ...fixture().specs.sleeps, networks: [network] });
        assert.deepEqual((await listed(id)).networks, [network]);
      }
    });
  });
}
