import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { extractTree, RELEASE_BEFORE_SHARDS } from "../harness/earlier-tree.ts";
import type { Acknowledged, DeviceNow } from "./device-record.ts";
import type { FleetAnswer, FleetCommand, FleetDevice } from "./fleet-protocol.ts";

const PROGRAM = fileURLToPath(new URL("fleet-process.ts", import.meta.url));
/** How long a process may take to answer, milliseconds. */
const ANSWER_MS = 60_000;

export type FleetSeen = Readonly<{
  devices: readonly DeviceNow[];
  flaws: readonly string[];
  connects: number;
  /** The address that a device connected to last, by its id. */
  servedBy: ReadonlyMap<string, string>;
}>;

export type FleetPart = Readonly<{
  /** NEBULA_SERVER */
  server: string;
  devices: readonly FleetDevice[];
  processes: number;
  /** The devices run the worker of the release before shards, in place of this tree's. */
  earlier?: true;
}>;

/** Workers on simulated engines, in several processes. */
export class Fleet implements AsyncDisposable {
  /** All reports that the server acknowledged, as far as they were looked at. */
  readonly acknowledged: Acknowledged[] = [];
  readonly #folder: string;
  readonly #processes: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(part: FleetPart): Promise<Fleet> {
    await using opening = new AsyncDisposableStack();
    const fleet = opening.use(new Fleet(await mkdtemp(join(tmpdir(), "nebula-fleet-"))));
    await fleet.add(part);
    opening.move();
    return fleet;
  }

  /** Starts workers in processes of their own; each enrols by itself. */
  async add({ server, devices, processes, earlier: isEarlier }: FleetPart): Promise<void> {
    const folder = this.#folder;
    const earlier = isEarlier === undefined ? undefined : await extractTree(RELEASE_BEFORE_SHARDS, join(folder, RELEASE_BEFORE_SHARDS));
    const children = Array.from({ length: processes }, () =>
      endWithTests(fork(PROGRAM, { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] })),
    );
    this.#processes.push(...children);
    await Promise.all(
      children.map((child, i) =>
        ask(child, { kind: "start", earlier, server, folder, devices: devices.filter((_, index) => index % processes === i) }),
      ),
    );
  }

  /** How all devices are now; a config that two of them got differently under one etag is a flaw. */
  async look(): Promise<FleetSeen> {
    const seen = await Promise.all(
      this.#processes.map(async (child) => {
        const answer = await ask(child, { kind: "look" });
        if (answer.kind !== "seen") throw new Error(`a process of the fleet answered ${answer.kind}`);
        return answer;
      }),
    );
    const flaws = seen.flatMap((each) => each.flaws);
    const digests = new Map<string, string>();
    for (const [etag, digest] of seen.flatMap((each) => [...each.digests])) {
      if ((digests.get(etag) ?? digest) !== digest) flaws.push(`two devices got different configs with the etag ${etag}`);
      digests.set(etag, digest);
    }
    for (const each of seen) this.acknowledged.push(...each.acknowledged);
    return {
      devices: seen.flatMap((each) => each.devices),
      flaws,
      connects: seen.reduce((sum, each) => sum + each.connects, 0),
      servedBy: new Map(seen.flatMap((each) => [...each.servedBy])),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function ask(child: ChildProcess, command: FleetCommand): Promise<FleetAnswer> {
  const answered = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_MS), answered.signal]);
  try {
    const ended = once(child, "exit", { signal }).then(([code, by]) => {
      throw new Error(`a process of the fleet ended with ${code ?? by}`);
    });
    child.send(command);
    const [answer]: FleetAnswer[] = await Promise.race([once(child, "message", { signal }), ended]);
    if (answer === undefined || answer.kind === "failed") throw new Error(`the fleet can't ${command.kind}: ${answer?.reason}`);
    return answer;
  } finally {
    answered.abort();
  }
}
