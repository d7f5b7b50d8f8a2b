import type { Socket } from "node:net";
import type { Device, DeviceListener, DeviceTarget } from "./device.ts";
import { openLightSocket } from "./light-socket.ts";

const CR = 13;
const LF = 10;

/** A subscriber of NATS, by its text protocol: CONNECT, SUB, then MSG lines with payloads. The answer to its first PING says that it is subscribed, and counts as its first message. */
export class NatsDevice implements Device {
  readonly index: number;
  readonly #socket: Socket;
  readonly #listener: DeviceListener;
  #subscribed = false;
  /** The first part of a control line cut in two. */
  #line = "";
  #payloadLeft = 0;

  constructor(index: number, target: DeviceTarget, listener: DeviceListener) {
    this.index = index;
    this.#listener = listener;
    this.#socket = openLightSocket(target, {
      onData: (chunk, length) => this.#read(chunk, length),
      onLost: (reason) => listener.onLost(this, reason),
    });
    this.#socket.write('CONNECT {"verbose":false,"pedantic":false}\r\nSUB group 1\r\nPING\r\n');
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  get bytesWritten(): number {
    return this.#socket.bytesWritten;
  }

  ping(): void {
    this.#socket.write("PING\r\n");
  }

  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.removeAllListeners("end").destroy();
  }

  #read(chunk: Uint8Array, length: number): void {
    let at = 0;
    while (at < length) {
      if (this.#payloadLeft > 0) {
        const take = Math.min(this.#payloadLeft, length - at);
        at += take;
        this.#payloadLeft -= take;
        if (this.#payloadLeft === 0) this.#listener.onMessage(this);
        continue;
      }
      const byte = chunk[at++] ?? 0;
      if (byte === LF) {
        this.#control(this.#line);
        this.#line = "";
      } else if (byte !== CR) this.#line += String.fromCharCode(byte);
    }
  }

  #control(line: string): void {
    if (line.startsWith("MSG ")) this.#payloadLeft = Number(line.slice(line.lastIndexOf(" ") + 1)) + "\r\n".length;
    else if (line === "PING") this.#socket.write("PONG\r\n");
    else if (line === "PONG") this.#pong();
    else if (line.startsWith("-ERR")) this.#listener.onLost(this, line);
  }

  #pong(): void {
    if (this.#subscribed) this.#listener.onPong(this);
    else {
      this.#subscribed = true;
      this.#listener.onMessage(this);
    }
  }
}
