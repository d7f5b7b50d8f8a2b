import { setTimeout as delay } from "node:timers/promises";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { tcpPackets } from "../measure/tcp-packets.ts";
import type { Device, DeviceListener } from "./device.ts";
import { type FleetTarget, type ReportOptions, sharedNow, type Traffic } from "./fleet-protocol.ts";
import { GrpcDevice } from "./grpc-device.ts";
import { NatsDevice } from "./nats-device.ts";
import { type CannedReport, Requests } from "./requests.ts";
import { Wait } from "./wait.ts";

/** Source addresses 127.0.0.2 to 127.0.0.101: each has some 28,000 ports. */
const SOURCE_ADDRESSES = 100;
/** Anything that a device waits for and that takes longer will not come. */
const LIMIT_MS = 60_000;

/** Of a worker with one app of one container. */
const ONE_APP: ReportOptions = { apps: ["bench"], revision: undefined };

type Waits = { message?: Wait; answer?: Wait; pong?: Wait };

/**
 * The devices of one process.
 *
 * D1 One command at a time waits for each kind of word (message, answer, pong).
 * D2 A device that is lost without our doing fails what is waited for, and all that is asked later: figures of a smaller fleet are no figures. Only one
 *    that was told to stop reading may be lost: a server may end it.
 */
export class FleetPart implements Disposable {
  readonly #devices = new Map<number, Device>();
  readonly #stuck = new Set<number>();
  readonly #target: FleetTarget;
  readonly #requests: Requests;
  readonly #waits: Waits = {};
  #onMessage: ((device: Device) => void) | undefined;
  #failure: NebulaError | undefined;
  #seq = 0n;

  readonly #listener: DeviceListener = {
    onMessage: (device) => this.#onMessage?.(device),
    onAnswer: (device, ok) => {
      if (ok) this.#waits.answer?.arrived(device.index);
      else this.#fail(`device ${device.index}: its report was refused`);
    },
    onPong: (device) => this.#waits.pong?.arrived(device.index),
    onLost: (device, reason) => {
      if (!this.#stuck.has(device.index)) this.#fail(`device ${device.index}: ${reason}`); // D2
    },
  };

  constructor(target: FleetTarget) {
    this.#target = target;
    this.#requests = new Requests(target);
  }

  /** Connects devices, at most `concurrency` of them without their first message; resolves with how long it took until the last had it, milliseconds. */
  async connect(devices: readonly number[], concurrency: number): Promise<number> {
    const start = sharedNow();
    const connected = this.#wait("message", devices, "first message");
    let next = 0;
    const connectNext = () => {
      const device = devices[next++];
      if (device !== undefined) this.#connect(device, "");
    };
    this.#onMessage = ({ index }) => {
      if (connected.arrived(index)) connectNext();
    };
    for (let i = 0; i < concurrency; i++) connectNext();
    await connected.done;
    return sharedNow() - start;
  }

  /** Waits for one message of each device that reads: `arrived` has the moments. With `reports` each answers with a report: `reported` is when the last was taken. */
  arm(reports: ReportOptions | undefined): { arrived: Promise<Float64Array>; reported: Promise<number> } {
    const reading = this.#reading();
    const at = new Float64Array(reading.length);
    let count = 0;
    const arriving = this.#wait("message", reading, "push");
    const answering = this.#wait("answer", reports === undefined ? [] : reading, "answer to its report");
    this.#seq++;
    // Made before the push: the fleet would be busy with that while configs arrive, and the last of them be late by it.
    const made = new Map(reports === undefined ? [] : reading.map((index) => [index, this.#requests.report(index, this.#seq, reports)]));
    this.#onMessage = (device) => {
      const now = sharedNow();
      if (!arriving.arrived(device.index)) return;
      at[count++] = now;
      const report = made.get(device.index);
      if (report !== undefined) this.#call(device, report);
    };
    return { arrived: arriving.done.then(() => at), reported: answering.done.then(sharedNow) };
  }

  /** Drops devices and connects them again at once; resolves with how long it took until the last had its first message, milliseconds. */
  reconnect(count: number): Promise<number> {
    const devices = this.#reading().slice(0, count);
    for (const device of devices) this.#devices.get(device)?.close();
    return this.connect(devices, devices.length);
  }

  /** Has devices stop reading. */
  stick(count: number): void {
    for (const index of this.#reading().slice(-count)) {
      this.#stuck.add(index);
      this.#devices.get(index)?.pause();
    }
  }

  /** Has each device that reads ping, and waits for the answers. */
  async ping(): Promise<void> {
    const reading = this.#reading();
    const ponged = this.#wait("pong", reading, "answer to its ping");
    for (const index of reading) this.#devices.get(index)?.ping();
    await ponged.done;
  }

  /** Measures the traffic of one ping, one report and one connection, by the first device. */
  async measureTraffic(pings: number, everyMs: number): Promise<{ ping: Traffic; report: Traffic; reconnect: Traffic }> {
    const [index] = this.#reading();
    const device = index === undefined ? undefined : this.#devices.get(index);
    if (index === undefined || device === undefined) throw new NebulaError("internal", "traffic is measured on a device that is connected");
    const start = this.#traffic(device);
    for (let i = 0; i < pings; i++) {
      const ponged = this.#wait("pong", [index], "answer to its ping");
      device.ping();
      await ponged.done;
      await delay(everyMs); // acknowledgements come late
    }
    const pinged = this.#traffic(device);
    const answered = this.#wait("answer", [index], "answer to its report");
    this.#seq++;
    this.#call(device, this.#requests.report(device.index, this.#seq, ONE_APP));
    await answered.done;
    await delay(everyMs);
    const reported = this.#traffic(device);
    const whole = less(pinged, start);
    return {
      ping: { bytes: whole.bytes / pings, packets: whole.packets / pings },
      report: less(reported, pinged),
      reconnect: await this.#measureReconnect(device, everyMs),
    };
  }

  async #measureReconnect(device: Device, waitMs: number): Promise<Traffic> {
    device.close();
    const connected = this.#wait("message", [device.index], "first message");
    this.#onMessage = ({ index }) => connected.arrived(index);
    const again = this.#connect(device.index, this.#target.etag);
    await connected.done;
    await delay(waitMs);
    return this.#traffic(again);
  }

  #traffic(device: Device): Traffic {
    if (device.localPort === undefined) throw new NebulaError("internal", "a device that is connected has a port");
    return { bytes: device.bytesRead + device.bytesWritten, packets: tcpPackets(device.localPort, this.#target.port) };
  }

  #connect(index: number, etag: string): Device {
    const where = { port: this.#target.port, localAddress: `127.0.0.${2 + (index % SOURCE_ADDRESSES)}` };
    const device =
      this.#target.protocol === "nats"
        ? new NatsDevice(index, where, this.#listener)
        : new GrpcDevice(index, where, this.#requests.watch(index, etag), this.#listener);
    this.#devices.set(index, device);
    return device;
  }

  #call(device: Device, report: CannedReport): void {
    if (!(device instanceof GrpcDevice)) throw new NebulaError("internal", "only a grpc device reports");
    if (report.kind === "on_watch") device.say(report.message);
    else device.call(report.request.headerBlock, report.request.message);
  }

  #reading(): number[] {
    return [...this.#devices.keys()].filter((index) => !this.#stuck.has(index));
  }

  #wait(kind: keyof Waits, devices: readonly number[], what: string): Wait {
    const wait = new Wait(devices, what, LIMIT_MS);
    this.#waits[kind] = wait; // D1
    if (this.#failure !== undefined) wait.fail(this.#failure); // D2
    return wait;
  }

  #fail(reason: string): void {
    this.#failure ??= new NebulaError("unavailable", reason); // D2
    for (const wait of Object.values(this.#waits)) wait.fail(this.#failure);
  }

  [Symbol.dispose](): void {
    for (const device of this.#devices.values()) device.close();
    this.#devices.clear();
  }
}

function less(whole: Traffic, part: Traffic): Traffic {
  return { bytes: whole.bytes - part.bytes, packets: whole.packets - part.packets };
}
