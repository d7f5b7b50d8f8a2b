import type { Socket } from "node:net";
import kafkajs from "kafkajs";
import manifest from "kafkajs/package.json" with { type: "json" };
import ConsumerGroupClass from "kafkajs/src/consumer/consumerGroup.js";
import ConnectionClass from "kafkajs/src/network/connection.js";
import RequestQueueClass from "kafkajs/src/network/requestQueue/index.js";
import { replaceDecoder } from "./replace-decoder.ts";

// Parts of kafkajs 2.2.4 that do not suit this driver, replaced in one place. Only the files of this folder use kafkajs, and by way of this one.
//
// G1: no timer runs while no request is pending. kafkajs checks for pending requests every millisecond, without end, and for timeouts ten times a second.
// G2: a connection on which a request had no answer in time is closed, so that the next attempt gets another one; a login has a time limit too.
// G3: no record stops the decoding of a Fetch answer, however it is compressed or damaged (record-sets.ts).
// G4: a member that takes the place of one that failed joins under the id of that one. As a new member it joins only when the session of the old one has passed.
// G5: a connection reads the answers of its present socket alone, from their beginning. kafkajs connects again with what came of an answer before, and still
//     listens to the socket of before: it took the bytes of both for one answer, which ended the process.

const WANTED = "2.2.4";
/** How often requests in flight are compared with their time limits, milliseconds. */
const TIMEOUT_CHECK_MS = 250;
/** How soon requests that wait for their turn are looked at again, milliseconds; an answer that arrives looks at once. */
const PENDING_CHECK_MS = 10;

type SocketRequest = Readonly<{ sentAt: number; requestTimeout: number; timeoutRequest(): void }>;

export interface RequestQueue {
  readonly inflight: ReadonlyMap<number, SocketRequest>;
  readonly pending: readonly unknown[];
  readonly enforceRequestTimeout: boolean;
  readonly requestTimeout: number;
  readonly throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  requestTimeoutIntervalId?: NodeJS.Timeout | undefined;
  /** Ours (G2). */
  dropConnection?: () => void;
  checkPendingRequests(): void;
  scheduleCheckPendingRequests(): void;
  scheduleRequestTimeoutCheck(): void;
  sendSocketRequest(request: SocketRequest): void;
  destroy(): void;
}

export interface Connection {
  readonly broker: string;
  readonly connectionTimeout: number;
  readonly requestQueue: RequestQueue;
  readonly socket?: Pick<Socket, "connecting" | "destroy" | "on" | "removeAllListeners">;
  /** Bytes of answers that are not complete, and how many an answer needs. */
  chunks: Buffer[];
  bytesBuffered: number;
  bytesNeeded: number;
  isConnected(): boolean;
  connect(): Promise<boolean>;
  sendAuthRequest(request: unknown): Promise<unknown>;
}

const { version } = manifest;
if (version !== WANTED) {
  throw new Error(`kafkajs ${version} is installed; this driver replaces internals of ${WANTED}: install that, or review kafkajs-guards.ts`);
}
guardRequestQueue();
guardConnection();
replaceDecoder(); // G3
guardMembership();

function guardRequestQueue(): void {
  const { prototype }: { prototype: RequestQueue } = RequestQueueClass;
  const sendSocketRequest = prototype.sendSocketRequest;

  prototype.scheduleCheckPendingRequests = function (): void {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return; // G1
    const throttledMs = this.throttledUntil - Date.now();
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null;
        this.checkPendingRequests();
      },
      Math.max(throttledMs, PENDING_CHECK_MS),
    );
  };

  prototype.scheduleRequestTimeoutCheck = function (): void {
    armTimeoutCheck(this);
  };

  prototype.sendSocketRequest = function (request: SocketRequest): void {
    sendSocketRequest.call(this, request);
    armTimeoutCheck(this);
  };

  prototype.destroy = function (): void {
    clearTimeout(this.requestTimeoutIntervalId);
    this.requestTimeoutIntervalId = undefined;
    if (this.throttleCheckTimeoutId !== null) clearTimeout(this.throttleCheckTimeoutId);
    this.throttleCheckTimeoutId = null;
  };
}

/** Also while a connection closes, which waits for the requests in flight. */
function armTimeoutCheck(queue: RequestQueue): void {
  if (!queue.enforceRequestTimeout || queue.requestTimeoutIntervalId !== undefined || queue.inflight.size === 0) return; // G1
  queue.requestTimeoutIntervalId = setTimeout(
    () => {
      queue.requestTimeoutIntervalId = undefined;
      const now = Date.now();
      const late = [...queue.inflight.values()].filter(({ sentAt, requestTimeout }) => now - sentAt > requestTimeout);
      for (const request of late) request.timeoutRequest();
      if (late.length > 0) queue.dropConnection?.(); // G2
      armTimeoutCheck(queue);
    },
    Math.min(queue.requestTimeout, TIMEOUT_CHECK_MS),
  );
}

function guardConnection(): void {
  const { prototype }: { prototype: Connection } = ConnectionClass;
  const { connect, sendAuthRequest } = prototype;

  prototype.connect = function (): Promise<boolean> {
    this.requestQueue.dropConnection = () => drop(this, "a request had no answer in time");
    if (!this.isConnected() && this.socket?.connecting !== true) forgetSocket(this); // G5
    return connect.call(this);
  };

  prototype.sendAuthRequest = async function (request: unknown): Promise<unknown> {
    const late = setTimeout(() => drop(this, "the login had no answer in time"), this.connectionTimeout);
    try {
      return await sendAuthRequest.call(this, request);
    } finally {
      clearTimeout(late);
    }
  };
}

/** Bytes of the length that each answer of Kafka begins with. */
const LENGTH_BYTES = 4;

/** G5 */
function forgetSocket(connection: Connection): void {
  const { socket } = connection;
  socket?.removeAllListeners();
  socket?.on("error", () => {}); // without a listener it would end the process
  socket?.destroy();
  connection.chunks = [];
  connection.bytesBuffered = 0;
  connection.bytesNeeded = LENGTH_BYTES;
}

function drop(connection: Connection, why: string): void {
  connection.socket?.destroy(new Error(`${connection.broker}: ${why}`));
}

/** The id under which a consumer is known in its group, for the consumer that takes its place. */
export type MemberMemory = { id: string | undefined };

type Assigner = ReturnType<import("kafkajs").PartitionAssigner>;
export interface ConsumerGroup {
  memberId: string | null;
  readonly assigners: readonly (Assigner & { memory?: MemberMemory })[];
  connect(): Promise<void>;
}

function guardMembership(): void {
  const { prototype }: { prototype: ConsumerGroup } = ConsumerGroupClass;
  const { connect } = prototype;
  prototype.connect = function (): Promise<void> {
    const memory = this.assigners.find((assigner) => assigner.memory !== undefined)?.memory;
    this.memberId ??= memory?.id ?? null; // G4: a group that has forgotten the id makes another
    return connect.call(this);
  };
}

/** Spreads partitions round robin; it is what a consumer group of kafkajs can be given of ours, and so carries the memory. */
export function roundRobinWith(memory: MemberMemory): import("kafkajs").PartitionAssigner {
  return (options) => ({ ...kafkajs.PartitionAssigners.roundRobin(options), memory });
}

export type { SASLOptions } from "kafkajs";

// Not all of its exports are seen by Node's import of a CommonJS module.
export const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } = kafkajs;
export type Kafka = import("kafkajs").Kafka;
