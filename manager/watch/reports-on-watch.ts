/**
 * Reports on the stream of a watch (WatchAndReport). A call of its own takes a stream of HTTP/2, two blocks of headers, gRPC's call above them and a login for
 * each report. On a stream that is open already a report is a frame of data, and so is its answer.
 *
 * R1 A report takes the way of SubmitReports (its rights, limits, turn, metrics and audit entries), and has its outcome.
 * R2 Its credential is that of the watch, and is read again first where access has changed since.
 * R3 A report that was skipped (message-reader.ts) is answered `by_call`: its device sends it by SubmitReports.
 * R4 The next report is read when the answer of this one is with the kernel: a device that does not read costs one.
 */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf, NebulaError } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import { readMessage } from "../../common/protobuf/binary-message.ts";
import { onlyContent } from "../../common/protobuf/encoded-field.ts";
import { requestIdFrom } from "../../common/rpc/request-id.ts";
import { pathOf, readRequest, Undecodable } from "../../common/rpc/service-definition.ts";
import { type ReportAnswerSchema, WatchAndReportRequestSchema, WatchAndReportResponseSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ReportService, type SubmitReportsRequest, SubmitReportsRequestSchema } from "../../gen/nebula/v1/report_pb.ts";
import { permitBy } from "../access/gate.ts";
import { ruleOf } from "../access/rights/method-table.ts";
import type { Login } from "../access/verified-credentials.ts";
import type { Audit } from "../audit/audit.ts";
import { framed } from "../config/config-answer.ts";
import type { UnaryHandler } from "../rpc/call-context.ts";
import { asNebulaError, errorStatus } from "../rpc/errors.ts";
import type { RpcMetrics } from "../rpc/rpc-metrics.ts";
import { PartialMessages, type Skipped } from "./message-reader.ts";

const METHOD = ReportService.method.submitReports;
const PATH = pathOf(METHOD);
const RULE = ruleOf(METHOD);

export type ReportsOnWatchDeps = Readonly<{
  /** SubmitReports, in its turn. */
  submit: UnaryHandler<typeof METHOD>;
  /** Reads a credential again where access has changed since it was read; undefined: it counts as it is. */
  renew: (login: Login) => Promise<void> | undefined;
  audit: Audit;
  metrics: RpcMetrics;
  clock: Pick<Clock, "monotonic">;
  log: Log;
}>;

/** The device that reports: the credential of its watch; whether a gateway brought it, and its address. */
export type Reporter = Readonly<{ login: Login; viaPart: boolean; peer: string }>;

/** The encoded answer to a report, and the same as a message of gRPC with its prefix, of which it is part. */
export type EncodedAnswer = Readonly<{ bytes: Uint8Array; frame: Uint8Array }>;

const TAKEN = encodedAnswer({});
export const BY_CALL = encodedAnswer({ byCall: true });

export class ReportsOnWatch {
  /** Of all streams. */
  readonly partials: PartialMessages;
  readonly #deps: ReportsOnWatchDeps;

  constructor(deps: ReportsOnWatchDeps) {
    this.#deps = deps;
    this.partials = new PartialMessages(deps.clock);
  }

  /** Resolves with the answer to a message, a WatchAndReportRequest unless it was skipped; never rejects. */
  async answer(message: Uint8Array | Skipped, from: Reporter, signal: AbortSignal): Promise<EncodedAnswer> {
    if (typeof message === "string") return BY_CALL; // R3
    const { metrics, clock } = this.#deps;
    const started = clock.monotonic();
    const ended = (code: number) => metrics.ended(PATH, code, (clock.monotonic() - started) / 1000);
    let request: SubmitReportsRequest | undefined;
    try {
      request = reportsOf(message);
      await this.#take(request, from, signal);
      ended(0);
      return TAKEN;
    } catch (thrown) {
      const requestId = requestIdFrom(undefined);
      const error = asNebulaError(signal.aborted ? signal.reason : thrown, { method: PATH, requestId }, this.#deps.log);
      await this.#record(error, request, from, requestId);
      const { code, details } = errorStatus(error);
      ended(code);
      return encodedAnswer({ code, message: details, retryAfterMs: Math.ceil(error.retryAfterMs ?? 0) });
    }
  }

  async #take(request: SubmitReportsRequest, { login, peer }: Reporter, signal: AbortSignal): Promise<void> {
    const renewing = this.#deps.renew(login); // R2
    if (renewing !== undefined) await renewing;
    const { principal, source } = login.verified;
    if (RULE !== undefined) permitBy(RULE, METHOD, request, principal);
    await this.#deps.submit(request, { principal, source, signal, peer, requestId: "", changed: () => {} });
  }

  /** The entry that the call would have left: of a refused login, and of a refusal that says so itself. */
  async #record(error: NebulaError, request: SubmitReportsRequest | undefined, { login, viaPart, peer }: Reporter, requestId: string): Promise<void> {
    const record = this.#deps.audit.begin(METHOD, { peer, requestId });
    record.seen({ viaPart, peer, ...(error.kind === "unauthenticated" ? {} : { principal: login.verified.principal }) });
    if (request !== undefined) record.asked(request);
    await record.ended(error);
  }
}

const { reports: REPORTS, watch: WATCH } = WatchAndReportRequestSchema.field;

/** The reports in an encoded WatchAndReportRequest, which is not decoded besides: they keep their own bytes. */
function reportsOf(message: Uint8Array): SubmitReportsRequest {
  const request = readRequest(SubmitReportsRequestSchema, bytesOfReports(message), readMessage);
  if (request instanceof Undecodable) throw unreadable(request.reason);
  return request;
}

/** Of a message that comes twice the fields are merged, as those of its bytes one after the other are. */
function bytesOfReports(message: Uint8Array): Uint8Array {
  const only = onlyContent(message, REPORTS.number);
  if (only !== undefined) return only;
  const found: Uint8Array[] = [];
  try {
    for (const reader = new BinaryReader(message); reader.pos < reader.len; ) {
      const [field, wireType] = reader.tag();
      if (field === WATCH.number) throw new NebulaError("invalid_argument", "this stream has its watch: open another one for another watch");
      if (field === REPORTS.number && wireType === WireType.LengthDelimited) found.push(reader.bytes());
      else reader.skip(wireType, field);
    }
  } catch (error) {
    throw isNebulaError(error) ? error : unreadable(messageOf(error));
  }
  const [first = new Uint8Array(), ...more] = found;
  return more.length === 0 ? first : Buffer.concat(found);
}

function unreadable(reason: string): NebulaError {
  return new NebulaError("invalid_argument", `the request is not a valid ${WatchAndReportRequestSchema.typeName}: ${reason}`);
}

function encodedAnswer(report: MessageInitShape<typeof ReportAnswerSchema>): EncodedAnswer {
  const bytes = toBinary(WatchAndReportResponseSchema, create(WatchAndReportResponseSchema, { answer: { case: "report", value: report } }));
  return { bytes, frame: framed(bytes) };
}
