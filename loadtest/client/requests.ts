import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { ConfigService, type WatchAndReportRequest, WatchAndReportRequestSchema, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ReportSchema, ReportService, SubmitReportsRequestSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { FleetTarget, ReportOptions } from "./fleet-protocol.ts";
import { grpcHeaderBlock } from "./h2-frames.ts";

/** A request's header block and message, as they go into frames. */
export type CannedRequest = Readonly<{
  headerBlock: Uint8Array;
  message: Uint8Array;
  /** More messages follow on its stream. */
  isOpen?: boolean;
}>;

/** A report that a device sends: a call of its own, or one more message on the stream of its watch. */
export type CannedReport = Readonly<{ kind: "call"; request: CannedRequest } | { kind: "on_watch"; message: Uint8Array }>;

/** The requests of the devices of one process: header blocks are the same for all of them, and made once. */
export class Requests {
  readonly #target: FleetTarget;
  readonly #watchHeaders: (device: number) => Uint8Array;
  readonly #reportHeaders: (device: number) => Uint8Array;

  constructor(target: FleetTarget) {
    this.#target = target;
    const { watchConfig, watchAndReport } = ConfigService.method;
    this.#watchHeaders = this.#headerBlocks(pathOf(target.reportsOnWatch ? watchAndReport : watchConfig));
    this.#reportHeaders = this.#headerBlocks(pathOf(ReportService.method.submitReports));
  }

  /** The header blocks of a method: one for all devices, or one for each that has a token of its own. */
  #headerBlocks(path: string): (device: number) => Uint8Array {
    const { port, headers, enrolled = false } = this.#target;
    const authority = `127.0.0.1:${port}`;
    const shared = grpcHeaderBlock(authority, path, headers);
    const own = new Map<number, Uint8Array>();
    return (device) => {
      if (!enrolled) return shared;
      const known = own.get(device);
      if (known !== undefined) return known;
      const block = grpcHeaderBlock(authority, path, { ...headers, authorization: `Bearer ${deviceToken(device)}` });
      own.set(device, block);
      return block;
    };
  }

  /**
   * @param etag of the config that the device holds; empty: none
   * @param serveHere the shard serves the watch, also where another one owns the group
   */
  watch(device: number, etag: string, serveHere = false): CannedRequest {
    const { deviceGroup } = this.#target;
    const request = create(WatchConfigRequestSchema, { deviceGroup, etag, deviceId: deviceId(device), boot: boot(device), serveHere });
    const headerBlock = this.#watchHeaders(device);
    if (!this.#target.reportsOnWatch) return { headerBlock, message: toBinary(WatchConfigRequestSchema, request) };
    return { headerBlock, message: requestOnWatch({ case: "watch", value: request }), isOpen: true };
  }

  /** A report as a worker sends it that has these apps, of one container each. */
  report(device: number, seq: bigint, { apps, revision = seq }: ReportOptions): CannedReport {
    const report = create(ReportSchema, {
      deviceId: deviceId(device),
      deviceGroup: this.#target.deviceGroup,
      boot: boot(device),
      seq,
      workerVersion: "bench",
      instance: "bench",
      state: TargetState.APPLIED,
      groupRevision: 1n, // of a device_group that is not changed
      apps: apps.map((name, index) => {
        const at = index === 0 ? revision : 1n;
        const containers = [{ name: `${name}-1`, id: "0".repeat(64), revision: at, image: "bench:1" }];
        return { name, revision: at, appliedRevision: at, state: TargetState.APPLIED, containers };
      }),
      host: {
        hostname: deviceId(device),
        cpuCores: 4,
        memoryTotalBytes: 1n << 30n,
        memoryAvailableBytes: 1n << 29n,
        engineVersion: "28.0.0",
        os: "linux",
        arch: "aarch64",
      },
    });
    const request = create(SubmitReportsRequestSchema, { reports: [report] });
    if (this.#target.reportsOnWatch) return { kind: "on_watch", message: requestOnWatch({ case: "reports", value: request }) };
    return { kind: "call", request: { headerBlock: this.#reportHeaders(device), message: toBinary(SubmitReportsRequestSchema, request) } };
  }
}

function requestOnWatch(request: WatchAndReportRequest["request"]): Uint8Array {
  return toBinary(WatchAndReportRequestSchema, create(WatchAndReportRequestSchema, { request }));
}

/** By which a device of the bench is known. */
export function deviceId(device: number): string {
  return `device-${String(device).padStart(6, "0")}`;
}

function boot(device: number): string {
  return `boot-${process.pid}-${device}`;
}

/** The token of a bench's device: made of its number, so that its server and its fleet know it without asking each other. */
export function deviceToken(device: number): string {
  return createHash("sha256").update(`token of the bench's device ${device}`).digest("hex");
}
