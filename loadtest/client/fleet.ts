import { fileURLToPath } from "node:url";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import type { FleetAnswer, FleetCommand, FleetTarget, ReportOptions } from "./fleet-protocol.ts";

/** As many sockets as one process may open where the limit is 20,000 files, with room for its own. */
const DEVICES_PER_PROCESS = 19_000;
/** Devices of all processes together that wait for their first message at a time. */
const CONNECTING_AT_ONCE = 256;

const PROCESS_FILE = fileURLToPath(new URL("./fleet-process.ts", import.meta.url));

type Answer<Kind extends FleetAnswer["kind"]> = Extract<FleetAnswer, { kind: Kind }>;

export type FleetOptions = Readonly<{ devices: number; processors: Processors; signal: AbortSignal }>;

/** The load fleet: processes of light devices, off the processor of the server. */
export class Fleet implements AsyncDisposable {
  readonly #devices: number;
  readonly #processes: readonly BenchProcess[];

  constructor({ devices, processors, signal }: FleetOptions) {
    this.#devices = devices;
    const processes = Math.ceil(devices / DEVICES_PER_PROCESS);
    const command = [process.execPath, PROCESS_FILE];
    this.#processes = Array.from({ length: processes }, () => new BenchProcess({ name: "a process of the fleet", command, processors, signal }));
  }

  /** Connects every device; answers how long it took until each had its first message, milliseconds. */
  connect(target: FleetTarget): Promise<number> {
    return this.connectSome(target, 0, 1);
  }

  /** Connects the devices of one slice of `slices`, spread over the processes; answers as `connect`. Each slice has one target, the same as the first. */
  async connectSome(target: FleetTarget, slice: number, slices: number): Promise<number> {
    const share = this.#share(this.#devices);
    const concurrency = this.#share(CONNECTING_AT_ONCE);
    const answers = await this.#askAll("connected", (part) => {
      const own = Math.min(share, this.#devices - part * share);
      const [from, to] = [Math.floor((own * slice) / slices), Math.floor((own * (slice + 1)) / slices)];
      return { kind: "connect", target, firstDevice: part * share + from, count: to - from, concurrency };
    });
    return Math.max(...answers.map(({ tookMs }) => tookMs));
  }

  /** Has every device wait for its next message: `arrived` resolves with all their times, `reported` with when the last of their reports was taken (`sharedNow`). */
  async arm({ reports }: Readonly<{ reports?: ReportOptions }> = {}): Promise<{ arrived: Promise<Float64Array>; reported: Promise<number> }> {
    const arrivals = Promise.all(this.#processes.map((part) => next(part, "arrived")));
    const reportings = reports !== undefined ? Promise.all(this.#processes.map((part) => next(part, "reported"))) : Promise.resolve([]);
    const arrived = arrivals.then((answers) => Float64Array.from(answers.flatMap(({ at }) => [...at])));
    const reported = reportings.then((answers) => Math.max(...answers.map(({ at }) => at)));
    for (const pending of [arrived, reported]) pending.catch(() => {}); // awaited by the caller later, or not at all where something else fails first
    await this.#askAll("armed", () => ({ kind: "arm", reports }));
    return { arrived, reported };
  }

  /** Drops that many devices and connects them again at once; how long it took until the last had its first message, milliseconds. */
  async reconnect(count: number): Promise<number> {
    const answers = await this.#askAll("reconnected", () => ({ kind: "reconnect", count: this.#share(count) }));
    return Math.max(...answers.map(({ tookMs }) => tookMs));
  }

  /** Has that many devices stop reading. */
  async stick(count: number): Promise<void> {
    await this.#askAll("stuck", () => ({ kind: "stick", count: this.#share(count) }));
  }

  /** Has the server hear of every device: one that is silent for 30 s after a push is taken for dead. */
  async ping(): Promise<void> {
    await this.#askAll("ponged", () => ({ kind: "ping" }));
  }

  async measureTraffic(pings: number, everyMs: number): Promise<Answer<"traffic">> {
    const [part] = this.#processes;
    if (part === undefined) throw new NebulaError("internal", "a fleet without processes");
    return ask(part, { kind: "measure-traffic", pings, everyMs }, "traffic");
  }

  /** User and system time of all its processes, milliseconds. */
  cpuMs(): number {
    return this.#processes.reduce((sum, part) => sum + part.figures().cpuMs, 0);
  }

  #share(count: number): number {
    return Math.ceil(count / this.#processes.length);
  }

  #askAll<Kind extends FleetAnswer["kind"]>(kind: Kind, command: (part: number) => FleetCommand): Promise<Answer<Kind>[]> {
    return Promise.all(this.#processes.map((part, i) => ask(part, command(i), kind)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((part) => part[Symbol.asyncDispose]()));
  }
}

async function ask<Kind extends FleetAnswer["kind"]>(part: BenchProcess, command: FleetCommand, kind: Kind): Promise<Answer<Kind>> {
  const [answer] = await Promise.all([next(part, kind), part.send(command)]);
  return answer;
}

async function next<Kind extends FleetAnswer["kind"]>(part: BenchProcess, kind: Kind): Promise<Answer<Kind>> {
  const answer = await part.next((message): message is Answer<Kind> | Answer<"failed"> => isKind(message, kind) || isKind(message, "failed"));
  if (isKind(answer, kind)) return answer;
  throw new NebulaError("unavailable", isKind(answer, "failed") ? `the fleet: ${answer.reason}` : "the fleet failed");
}

function isKind<Kind extends FleetAnswer["kind"]>(answer: unknown, kind: Kind): answer is Answer<Kind> {
  return typeof answer === "object" && answer !== null && "kind" in answer && answer.kind === kind;
}
