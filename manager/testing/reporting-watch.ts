import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import {
  ConfigService,
  type ReportAnswer,
  WatchAndReportRequestSchema,
  type WatchAndReportResponse,
  WatchAndReportResponseSchema,
} from "../../gen/nebula/v1/config_pb.ts";
import type { Report, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { framed, RawClient } from "./raw-client.ts";
import { type RigOptions, startWatchRig, type WatchRequest } from "./watch-rig.ts";

const PATH = pathOf(ConfigService.method.watchAndReport);
const PREFIX = 5;

type Reports = MessageInitShape<typeof SubmitReportsRequestSchema>["reports"];

/** The first request of WatchAndReport, without a prefix. */
export function watchRequest(request: WatchRequest = {}): Uint8Array {
  const value = { deviceGroup: "g", deviceId: "device-1", boot: "b", ...request };
  return toBinary(WatchAndReportRequestSchema, create(WatchAndReportRequestSchema, { request: { case: "watch", value } }));
}

/** A later one. */
export function reportsRequest(reports: Reports): Uint8Array {
  const value = reports === undefined ? {} : { reports };
  return toBinary(WatchAndReportRequestSchema, create(WatchAndReportRequestSchema, { request: { case: "reports", value } }));
}

/** One call of WatchAndReport, whose bytes a test sends as it likes. Reads its answers from the start unless it is paused. */
export class ReportingWatch {
  readonly stream: ClientHttp2Stream;
  readonly answers: WatchAndReportResponse["answer"][] = [];
  /** The gRPC status, once it has come. */
  status: number | undefined;
  message = "";
  /** Resolves when the stream is closed, with the code of HTTP/2. */
  readonly closed: Promise<number>;
  #bytes = Buffer.alloc(0);

  constructor(client: RawClient, headers: Readonly<Record<string, string>> = {}, path = PATH) {
    this.stream = client.session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers });
    this.stream.on("error", () => {});
    this.stream.on("data", (chunk: Buffer) => this.#read(chunk));
    const note = (received: IncomingHttpHeaders) => {
      if (received["grpc-status"] === undefined) return;
      this.status = Number(received["grpc-status"]);
      this.message = decodeURI(String(received["grpc-message"] ?? ""));
    };
    this.stream.on("response", note);
    this.stream.on("trailers", note);
    this.closed = new Promise((resolve) => this.stream.on("close", () => resolve(this.stream.rstCode ?? 0)));
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    for (;;) {
      const end = PREFIX + (this.#bytes.length < PREFIX ? Number.POSITIVE_INFINITY : this.#bytes.readUInt32BE(1));
      if (end > this.#bytes.length) return;
      this.answers.push(fromBinary(WatchAndReportResponseSchema, this.#bytes.subarray(PREFIX, end)).answer);
      this.#bytes = this.#bytes.subarray(end);
    }
  }

  /** Sends messages, each with its prefix, in one piece. */
  send(...messages: readonly Uint8Array[]): this {
    this.stream.write(Buffer.concat(messages.map(framed)));
    return this;
  }

  /** Sends bytes as they are. */
  write(bytes: Uint8Array): void {
    this.stream.write(bytes);
  }

  report(...reports: NonNullable<Reports>): void {
    this.send(reportsRequest(reports));
  }

  /** The answers of the watch, by their kinds. */
  get heard(): readonly (string | undefined)[] {
    return this.answers.filter((answer) => answer.case !== "report").map((answer) => answer.case);
  }

  /** The answers to reports. */
  get reported(): readonly ReportAnswer[] {
    return this.answers.flatMap((answer) => (answer.case === "report" ? [answer.value] : []));
  }
}

/** Starts a rig whose group `g` is empty, and a client of it. */
export async function startReporting(options: RigOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const rig = stack.use(await startWatchRig(options));
  await rig.putGroup("g", []);
  const client = stack.use(new RawClient(rig.port));
  const opened = stack.move();
  return {
    rig,
    client,
    /** A watch that was answered. */
    async watch(request: WatchRequest = {}, headers: Readonly<Record<string, string>> = {}): Promise<ReportingWatch> {
      const watch = new ReportingWatch(client, headers).send(watchRequest(request));
      await eventually(() => watch.heard.length === 1, { everyMs: 1 });
      return watch;
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The report of a number, of a device of the group `g`. */
export function report(seq: number, fields: Parameters<typeof sampleReport>[0] = {}): Report {
  return sampleReport({ deviceGroup: "g", seq: BigInt(seq), ...fields });
}
