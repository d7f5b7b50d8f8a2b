import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ContainerSpec } from "../../common/desired/container-spec.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import type { ObservedContainer } from "./container-runtime.ts";
import type { RuntimeFixture } from "./contract-fixture.ts";

/**
 * The fixture of one run of the contract, opened before its tests and disposed after them, and the calls that they
 * share.
 */
export class ContractRig {
  readonly signal = new AbortController().signal;
  #opened: RuntimeFixture | undefined;

  /** To be called inside of a `describe`. */
  static describe(open: () => Promise<RuntimeFixture>): ContractRig {
    const rig = new ContractRig();
    before(async () => {
      rig.#opened = await open();
    });
    after(async () => {
      await rig.#opened?.[Symbol.asyncDispose]();
    });
    return rig;
  }

  readonly fixture = (): RuntimeFixture => {
    assert.ok(this.#opened, "the fixture was not opened");
    return this.#opened;
  };

  readonly labels = (): Readonly<Record<string, string>> => ({ orchestrator: "nebula", ...this.fixture().label });

  readonly create = (spec: ContainerSpec, containerName = randomName()): Promise<string> =>
    this.fixture().runtime.create({ name: containerName, spec, labels: this.labels() }, this.signal);

  readonly started = async (spec: ContainerSpec): Promise<string> => {
    const id = await this.create(spec);
    await this.fixture().runtime.start(id, this.signal);
    return id;
  };

  readonly find = async (id: string): Promise<ObservedContainer | undefined> =>
    (await this.fixture().runtime.listContainers(this.signal)).find((container) => container.id === id);

  readonly listed = async (id: string): Promise<ObservedContainer> => {
    const container = await this.find(id);
    assert.ok(container, "the container is not listed");
    return container;
  };

  /** Waits until the listed container is so, letting time pass. */
  readonly until = (id: string, check: (container: ObservedContainer) => boolean): Promise<ObservedContainer> =>
    eventually(
      async () => {
        await this.fixture().pass(500);
        const container = await this.listed(id);
        assert.ok(check(container), JSON.stringify(container));
        return container;
      },
      { timeoutMs: 30_000, everyMs: 50 },
    );
}

export async function rejectsWith(kinds: readonly string[], call: Promise<unknown>, words = /(?:)/): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isNebulaError(error), `not a NebulaError: ${error}`);
    assert.ok(kinds.includes(error.kind), `${error.kind} (${error.message}) is not one of ${kinds}`);
    assert.match(error.message, words);
    return true;
  });
}

export function portsOf(container: ObservedContainer): readonly string[] {
  return container.hostPorts.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`).sort();
}

export function randomName(): string {
  return `contract-${randomBytes(6).toString("hex")}`;
}
