import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { codeNameOf } from "../../common/errors/codes.ts";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import { withoutMapping } from "../../common/net/address.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import type { Caller, Seen } from "../access/authenticate.ts";
import { nameOf } from "../access/principal.ts";
import { cut, subjectOf } from "./audit-subject.ts";

/** One thing that a call has changed, for the audit log. */
export type Changed = Readonly<{
  /** app, cron_job, device_group, user, user_group, device, enrolment_token or session. */
  kind: string;
  name: string;
  /** 0n or absent: there was none. */
  revisionBefore?: bigint;
  /** 0n or absent: there is none. */
  revisionAfter?: bigint;
  /** The change in one sentence, without values. */
  detail?: string;
}>;

/** The destination of a record. Neither method rejects. */
export type AuditSink = {
  /** Resolves when the entry is stored. */
  recorded(entry: AuditEntry): Promise<void>;
  /** As recorded; equal refusals may be counted together. */
  refused(entry: AuditEntry): Promise<void>;
  /** Milliseconds since 1970. */
  now(): number;
};

/** `who` of a caller without a valid credential. */
export const NOBODY = "nobody";

/** `who` of refusals of several callers that are counted together. */
export const SEVERAL = "several";

/** Reserved names: a user with one of them could disown its refusals. */
export const RESERVED_USER_NAMES: readonly string[] = [NOBODY, SEVERAL];

const LONGEST_WHO = 128;
const LONGEST_ADDRESS = 64;
const LONGEST_DETAIL = 300;
/** Fields of a refused request that a detail names. */
const MOST_FIELDS = 5;

/** The audit record of one call. */
export class CallRecord {
  readonly #method: DescMethod;
  readonly #peer: string;
  readonly #requestId: string;
  readonly #sink: AuditSink;
  #caller: Parameters<Seen>[0] | undefined;
  #request: Message | undefined;
  /** When the last entry of a change is stored: they are stored in their order. */
  #stored: Promise<void> | undefined;

  constructor(method: DescMethod, { peer, requestId }: Readonly<{ peer: string; requestId: string }>, sink: AuditSink) {
    this.#method = method;
    this.#peer = peer;
    this.#requestId = requestId;
    this.#sink = sink;
  }

  /** Told who calls as soon as that is known. Made when it is asked for: a field with a function keeps each record until the next full collection of garbage. */
  get seen(): Seen {
    return (caller) => {
      this.#caller = caller;
    };
  }

  /** Told what is asked for. */
  asked(request: Message): void {
    this.#request = request;
  }

  /** One entry for each thing that was changed; the change stays, even if the rest of the call fails. As `seen`. */
  get changed(): (change: Changed) => void {
    return (change) => {
      this.#stored = this.#sink.recorded(this.#entry({ outcome: "OK", ...change }));
    };
  }

  /** Records the refusal where it is one of a login; answers whether it is. Waits for nothing. */
  failedLogin(error: NebulaError): boolean {
    const failed = this.#isFailedLogin(error);
    if (failed) void this.#sink.refused(this.#refusal(error));
    return failed;
  }

  /** The call is over. Resolves when what it leaves is stored: not before is it answered. A failed login waits for nothing. */
  async ended(error?: NebulaError): Promise<void> {
    if (error !== undefined) {
      const isAudited = error.audited || auditedOf(this.#method) !== "logins";
      if (!this.failedLogin(error) && isAudited) await this.#sink.refused(this.#refusal(error));
    } else if (this.#stored === undefined && auditedOf(this.#method) === "every_call") {
      this.#stored = this.#sink.recorded(this.#entry({ outcome: "OK", ...subjectOf(this.#method, this.#request) }));
    }
    await this.#stored;
  }

  #refusal(error: NebulaError): AuditEntry {
    return this.#entry({ outcome: codeNameOf(error.kind), ...subjectOf(this.#method, this.#request), detail: detailOf(error) });
  }

  /** Refused before it was known who calls: no valid credential, or too many that were not. */
  #isFailedLogin({ kind }: NebulaError): boolean {
    return this.#caller?.principal === undefined && (kind === "unauthenticated" || kind === "resource_exhausted");
  }

  #entry({ outcome, kind, name, revisionBefore = 0n, revisionAfter = 0n, detail = "" }: Changed & { outcome: string }): AuditEntry {
    return create(AuditEntrySchema, {
      at: timestampFromMs(this.#sink.now()),
      who: whoOf(this.#caller),
      from: cut(addressOf(this.#caller ?? { peer: this.#peer, viaPart: false }), LONGEST_ADDRESS),
      method: pathOf(this.#method),
      kind,
      name,
      revisionBefore,
      revisionAfter,
      outcome,
      detail: cut(detail, LONGEST_DETAIL),
      requestId: this.#requestId,
    });
  }
}

function whoOf(caller: Parameters<Seen>[0] | undefined): string {
  return caller?.principal === undefined ? NOBODY : cut(nameOf(caller.principal), LONGEST_WHO);
}

/** A connection's peer without its port; a gateway forwards an address alone. An IPv4 address is one however the listener writes it. */
function addressOf({ peer, viaPart }: Pick<Caller, "peer" | "viaPart">): string {
  return withoutMapping(viaPart ? peer : peer.replace(/:\d+$/, ""));
}

/** Why it was refused, without the values that the request held: the name of a variable may have its value behind it where somebody wrote K=V. */
function detailOf({ violations, message }: NebulaError): string {
  if (violations.length === 0) return message;
  const fields = violations.slice(0, MOST_FIELDS).map(({ field }) => field.split("=", 1).join(""));
  const more = violations.length > MOST_FIELDS ? ` and ${violations.length - MOST_FIELDS} more` : "";
  return `not valid: ${fields.join(", ")}${more}`;
}

/** The entries that the calls of a method leave in the audit log. `logins`: refused logins alone, as every method's do. */
export type Audited = "every_call" | "what_changed" | "logins";

/**
 * Calls that may change something leave an entry, refused ones too. Not the reports of devices, which are no change that anybody decided on, nor streams; of
 * EnrollDevice not the repeats that change nothing: a device sends it again until an answer arrives; of Rollback not the dry runs.
 */
export function auditedOf(method: DescMethod): Audited {
  if (!method.parent.typeName.startsWith("nebula.v1.") || method.methodKind !== "unary") return "logins"; // health and reflection are of others
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS || method === ReportService.method.submitReports) return "logins";
  const mayChangeNothing = method === AccessService.method.enrollDevice || method === HistoryService.method.rollback;
  return mayChangeNothing ? "what_changed" : "every_call";
}
