/**
 * Reads summaries of devices from protobuf's wire format, several times faster than protobuf-es does: a mirror of a large device_group takes very many. Texts,
 * numbers and ids of images that devices have in common are held once.
 *
 * A message with a field that is not known here, a text that is not ASCII, or a large or negative number, is left to protobuf-es: each is read as that reads it.
 */
import { fromBinary } from "@bufbuild/protobuf";
import {
  type DeviceSummary,
  DeviceSummarySchema,
  type StatusChange,
  type StatusChanges,
  StatusChangesSchema,
  type TargetKind,
  type TargetSummary,
} from "../../gen/nebula/v1/device_pb.ts";
import type { FailureCode, StepKind, TargetState } from "../../gen/nebula/v1/report_pb.ts";

const VARINT = 0;
const DELIMITED = 2;
/** A byte of a varint that is not its last one has this bit; each byte has seven bits of the number. */
const MORE = 128;
const LARGEST_INT = 2 ** 31 - 1;
/** Bytes of a text that is held once, at most. */
const LONGEST_SHARED = 64;
/** Values of a kind that are held to be shared. A power of two. */
const SLOTS = 1024;

const NO_TEXTS: string[] = [];
const NO_BYTES: Uint8Array[] = [];
const NO_TARGETS: TargetSummary[] = [];
for (const list of [NO_TEXTS, NO_BYTES, NO_TARGETS]) Object.freeze(list);

/** Returns a summary. Neither it nor its lists may be changed. Throws as `fromBinary` does where the bytes are not a summary. */
export function readSummary(bytes: Uint8Array): DeviceSummary {
  const reader = new Reader(bytes);
  const summary = reader.summary(bytes.length);
  return reader.at === bytes.length ? summary : fromBinary(DeviceSummarySchema, bytes);
}

/** Returns an announcement of statuses. Neither it nor its lists may be changed. Throws as `fromBinary` does where the bytes are not one. */
export function readStatusChanges(bytes: Uint8Array): StatusChanges {
  const reader = new Reader(bytes);
  const changes: StatusChange[] = [];
  while (reader.at < bytes.length) {
    if (reader.uint() !== (1 << 3) + DELIMITED) return fromBinary(StatusChangesSchema, bytes);
    changes.push(reader.change(reader.end()));
  }
  return reader.at === bytes.length ? { $typeName: "nebula.v1.StatusChanges", changes, presence: [] } : fromBinary(StatusChangesSchema, bytes);
}

/** Reads one message after the other. Where something is left to protobuf-es, `at` is beyond the end of all messages from then on. */
class Reader {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  change(end: number): StatusChange {
    let deviceId = "";
    let writtenAt = 0n;
    let summary: DeviceSummary | undefined;
    while (this.at < end) {
      switch (this.uint()) {
        case (1 << 3) + DELIMITED:
          deviceId = this.#text();
          break;
        case (2 << 3) + VARINT:
          writtenAt = BigInt(this.uint());
          break;
        case (3 << 3) + DELIMITED:
          if (summary !== undefined) this.#leave(); // two are to be merged
          summary = this.summary(this.end());
          break;
        default:
          this.#leave();
      }
    }
    if (this.at !== end) this.#leave();
    return { $typeName: "nebula.v1.StatusChange", deviceId, writtenAt, ...(summary !== undefined && { summary }) };
  }

  summary(end: number): DeviceSummary {
    let [deviceId, deviceGroup, boot, etag, workerVersion] = ["", "", "", "", ""];
    let [seq, writtenAt, receivedAtMs, groupRevision, pruneId, repairs] = [0n, 0n, 0n, 0n, 0n, 0n];
    let state: TargetState = 0;
    let original = false;
    let problems: string[] | undefined;
    let targets: TargetSummary[] | undefined;
    while (this.at < end) {
      switch (this.uint()) {
        case (1 << 3) + DELIMITED:
          deviceId = this.#text();
          break;
        case (2 << 3) + DELIMITED:
          deviceGroup = this.#sharedText();
          break;
        case (3 << 3) + DELIMITED:
          boot = this.#text();
          break;
        case (4 << 3) + VARINT:
          seq = sharedNumber(this.uint());
          break;
        case (5 << 3) + VARINT:
          writtenAt = BigInt(this.uint());
          break;
        case (6 << 3) + VARINT:
          receivedAtMs = BigInt(this.uint());
          break;
        case (7 << 3) + DELIMITED:
          etag = this.#sharedText();
          break;
        case (8 << 3) + VARINT:
          state = this.#enum();
          break;
        case (9 << 3) + VARINT:
          groupRevision = sharedNumber(this.uint());
          break;
        case (10 << 3) + VARINT:
          pruneId = sharedNumber(this.uint());
          break;
        case (11 << 3) + DELIMITED:
          workerVersion = this.#sharedText();
          break;
        case (12 << 3) + DELIMITED:
          problems ??= [];
          problems.push(this.#sharedText());
          break;
        case (13 << 3) + DELIMITED:
          targets ??= [];
          targets.push(this.#target(this.end()));
          break;
        case (14 << 3) + VARINT:
          original = this.uint() !== 0;
          break;
        case (15 << 3) + VARINT:
          repairs = sharedNumber(this.uint());
          break;
        default:
          this.#leave();
      }
    }
    if (this.at !== end) this.#leave();
    return {
      $typeName: "nebula.v1.DeviceSummary",
      deviceId,
      deviceGroup,
      boot,
      seq,
      writtenAt,
      receivedAtMs,
      etag,
      state,
      groupRevision,
      pruneId,
      workerVersion,
      problems: problems ?? NO_TEXTS,
      targets: targets ?? NO_TARGETS,
      original,
      repairs,
    };
  }

  #target(end: number): TargetSummary {
    let name = "";
    let kind: TargetKind = 0;
    let state: TargetState = 0;
    let failureCode: FailureCode = 0;
    let stepKind: StepKind = 0;
    let [containers, containersWell] = [0, 0];
    let [revision, appliedRevision, sinceMs] = [0n, 0n, 0n];
    let imageIds: Uint8Array[] | undefined;
    while (this.at < end) {
      switch (this.uint()) {
        case (1 << 3) + VARINT:
          kind = this.#enum();
          break;
        case (2 << 3) + DELIMITED:
          name = this.#sharedText();
          break;
        case (3 << 3) + VARINT:
          revision = sharedNumber(this.uint());
          break;
        case (4 << 3) + VARINT:
          appliedRevision = sharedNumber(this.uint());
          break;
        case (5 << 3) + VARINT:
          state = this.#enum();
          break;
        case (6 << 3) + VARINT:
          failureCode = this.#enum();
          break;
        case (7 << 3) + VARINT:
          stepKind = this.#enum();
          break;
        case (8 << 3) + VARINT:
          sinceMs = BigInt(this.uint());
          break;
        case (9 << 3) + VARINT:
          containers = this.#int();
          break;
        case (10 << 3) + VARINT:
          containersWell = this.#int();
          break;
        case (11 << 3) + DELIMITED:
          imageIds ??= [];
          imageIds.push(this.#sharedBytes());
          break;
        default:
          this.#leave();
      }
    }
    if (this.at !== end) this.#leave();
    return {
      $typeName: "nebula.v1.TargetSummary",
      kind,
      name,
      revision,
      appliedRevision,
      state,
      failureCode,
      stepKind,
      sinceMs,
      containers,
      containersWell,
      imageIds: imageIds ?? NO_BYTES,
    };
  }

  /** A number of at most 2^53 - 1. */
  uint(): number {
    const byte = this.#bytes[this.at] ?? 0;
    if (byte >= MORE) return this.#longUint();
    this.at++; // most numbers have one byte
    return byte;
  }

  #longUint(): number {
    const bytes = this.#bytes;
    let at = this.at;
    let value = 0;
    for (let factor = 1; factor <= Number.MAX_SAFE_INTEGER; factor *= MORE) {
      const byte = bytes[at++] ?? 0;
      value += (byte & (MORE - 1)) * factor;
      if (byte >= MORE) continue;
      if (value > Number.MAX_SAFE_INTEGER) break;
      this.at = at;
      return value;
    }
    this.#leave();
    return 0;
  }

  /** A number of at most 2^31 - 1. */
  #int(): number {
    const value = this.uint();
    if (value > LARGEST_INT) this.#leave();
    return value;
  }

  /** A number of an enum, which may be newer than this program. */
  #enum<T extends number>(): T {
    return this.#int() as T;
  }

  /** Where the field ends whose length is next. */
  end(): number {
    const length = this.uint(); // moves `at`
    if (this.at + length > this.#bytes.length) this.#leave();
    return Math.min(this.at + length, this.#bytes.length + 1);
  }

  /** Ends all loops over fields: the message is left to protobuf-es. */
  #leave(): void {
    this.at = this.#bytes.length + 1;
  }

  #text(end = this.end()): string {
    const start = this.at;
    for (; this.at < end; this.at++) if ((this.#bytes[this.at] ?? MORE) >= MORE) this.#leave();
    return this.at === end ? this.#bytes.toString("latin1", start, end) : "";
  }

  /** A text that other devices are likely to have, too. */
  #sharedText(): string {
    const end = this.end();
    const start = this.at;
    if (end - start > LONGEST_SHARED) return this.#text(end);
    const slot = this.#slotOf(start, end);
    const known = texts[slot];
    if (known !== undefined && isText(known, this.#bytes, start, end)) {
      this.at = end;
      return known;
    }
    const text = this.#text(end);
    texts[slot] = text;
    return text;
  }

  /** Bytes that other devices are likely to have, too: not a view of the message. */
  #sharedBytes(): Uint8Array {
    const end = this.end();
    const start = this.at;
    const slot = this.#slotOf(start, end);
    const known = byteLists[slot];
    this.at = end;
    if (known !== undefined && areBytes(known, this.#bytes, start, end)) return known;
    const bytes = new Uint8Array(this.#bytes.subarray(start, end));
    if (bytes.length <= LONGEST_SHARED) byteLists[slot] = bytes;
    return bytes;
  }

  #slotOf(start: number, end: number): number {
    let hash = 0;
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (this.#bytes[at] ?? 0)) | 0;
    return hash & (SLOTS - 1);
  }
}

/** Values that were read lately, each in the slot that follows from it: the newest one of a slot is kept. */
const texts: (string | undefined)[] = new Array(SLOTS).fill(undefined);
const byteLists: (Uint8Array | undefined)[] = new Array(SLOTS).fill(undefined);
const numbers: bigint[] = new Array(SLOTS).fill(0n);

function isText(text: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let at = start; at < end; at++) if (text.charCodeAt(at - start) !== bytes[at]) return false;
  return true;
}

function areBytes(known: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let at = start; at < end; at++) if (known[at - start] !== bytes[at]) return false;
  return true;
}

/** A number that other devices are likely to have, too. */
function sharedNumber(value: number): bigint {
  const slot = value % SLOTS;
  const known = numbers[slot];
  if (known !== undefined && Number(known) === value) return known;
  const number = BigInt(value);
  numbers[slot] = number;
  return number;
}
