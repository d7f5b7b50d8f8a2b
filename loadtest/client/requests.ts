import { create, toBinary } from "@bufbuild/protobuf";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { ConfigService, WatchConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ReportSchema, ReportService, SubmitReportsRequestSchema, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { FleetTarget } from "./fleet-protocol.ts";
import { grpcHeaderBlock } from "./h2-frames.ts";

/** A request's header block and message, as they go into frames. */
export type CannedRequest = Readonly<{ headerBlock: Uint8Array; message: Uint8Array }>;

/** What the devices of one process ask a server: header blocks are the same for all of them, and made once. */
export class Requests {
  readonly #target: FleetTarget;
  readonly #watchHeaders: Uint8Array;
  readonly #reportHeaders: Uint8Array;

  constructor(target: FleetTarget) {
    this.#target = target;
    const authority = `127.0.0.1:${target.port}`;
    this.#watchHeaders = grpcHeaderBlock(authority, pathOf(ConfigService.method.watchConfig), target.headers);
    this.#reportHeaders = grpcHeaderBlock(authority, pathOf(ReportService.method.submitReports), target.headers);
  }

  /**
   * @param etag of the config that the device holds; empty: none
   * @param serveHere the shard serves the watch, also where another one owns the group
   */
  watch(device: number, etag: string, serveHere = false): CannedRequest {
    const { deviceGroup } = this.#target;
    const request = create(WatchConfigRequestSchema, { deviceGroup, etag, deviceId: deviceId(device), boot: boot(device), serveHere });
    return { headerBlock: this.#watchHeaders, message: toBinary(WatchConfigRequestSchema, request) };
  }

  /** A report as a worker with one app of one container sends it. */
  report(device: number, seq: bigint): CannedRequest {
    const report = create(ReportSchema, {
      deviceId: deviceId(device),
      deviceGroup: this.#target.deviceGroup,
      boot: boot(device),
      seq,
      workerVersion: "bench",
      instance: "bench",
      state: TargetState.APPLIED,
      apps: [
        {
          name: "bench",
          revision: seq,
          appliedRevision: seq,
          state: TargetState.APPLIED,
          containers: [{ name: "bench-1", id: "0".repeat(64), revision: seq, image: "bench:1" }],
        },
      ],
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
    return {
      headerBlock: this.#reportHeaders,
      message: toBinary(SubmitReportsRequestSchema, create(SubmitReportsRequestSchema, { reports: [report] })),
    };
  }
}

/** By which a device of the bench is known. */
export function deviceId(device: number): string {
  return `device-${String(device).padStart(6, "0")}`;
}

function boot(device: number): string {
  return `boot-${process.pid}-${device}`;
}
