import type { Socket } from "node:net";
import { WireType } from "@bufbuild/protobuf/wire";
import { WatchAndReportResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Device, DeviceListener, DeviceTarget } from "./device.ts";
import { FrameReader } from "./frame-reader.ts";
import { CLIENT_HELLO, grpcNext, grpcOpening, grpcRequest, PING, pingAck, SETTINGS_ACK } from "./h2-frames.ts";
import { openLightSocket } from "./light-socket.ts";

const WATCH_STREAM = 1;
/** The first byte of an answer to a report, and the length of one that says that it is safe. */
const REPORT_ANSWER = (WatchAndReportResponseSchema.field.report.number << 3) | WireType.LengthDelimited;
const TAKEN_BYTES = 2;

/** A device that speaks gRPC with canned HTTP/2 frames. */
export class GrpcDevice implements Device {
  readonly index: number;
  readonly #socket: Socket;
  #nextStream = WATCH_STREAM + 2;

  /** @param watch header block and message of its watch; `isOpen`: reports follow on its stream */
  constructor(
    index: number,
    target: DeviceTarget,
    watch: { headerBlock: Uint8Array; message: Uint8Array; isOpen?: boolean },
    listener: DeviceListener,
  ) {
    this.index = index;
    const reader = new FrameReader(
      {
        ...(listener.onBody === undefined ? {} : { onBody: (piece) => listener.onBody?.(piece) }),
        onMessage: (bytes, first) => {
          if (watch.isOpen && first === REPORT_ANSWER) listener.onAnswer(this, bytes === TAKEN_BYTES);
          else listener.onMessage(this);
        },
        onSettings: () => this.#socket.write(SETTINGS_ACK),
        onPing: (payload) => this.#socket.write(pingAck(payload)),
        onPong: () => listener.onPong(this),
        onEnd: (streamId, withData) => {
          if (streamId > WATCH_STREAM) listener.onAnswer(this, withData);
          else if (streamId === 0 && listener.onGoaway !== undefined) listener.onGoaway(this);
          else listener.onLost(this, `the server ended ${streamId === 0 ? "the connection" : "the watch"}`);
        },
      },
      WATCH_STREAM,
    );
    this.#socket = openLightSocket(target, {
      onData: (chunk, length) => reader.read(chunk, length),
      onLost: (reason) => listener.onLost(this, reason),
    });
    const request = watch.isOpen ? grpcOpening : grpcRequest;
    this.#socket.write(Buffer.concat([CLIENT_HELLO, request(WATCH_STREAM, watch.headerBlock, watch.message)]));
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

  /** A unary call beside the watch. */
  call(headerBlock: Uint8Array, message: Uint8Array): void {
    this.#socket.write(grpcRequest(this.#nextStream, headerBlock, message));
    this.#nextStream += 2;
  }

  /** One more message of a watch that is open. */
  say(message: Uint8Array): void {
    this.#socket.write(grpcNext(WATCH_STREAM, message));
  }

  ping(): void {
    this.#socket.write(PING);
  }

  pause(): void {
    this.#socket.pause();
  }

  close(): void {
    this.#socket.removeAllListeners("end").destroy();
  }
}
