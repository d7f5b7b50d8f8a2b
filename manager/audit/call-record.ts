import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { codeNameOf } from "../../common/errors/codes.ts";
import type { NebulaError } from "../../common/errors/nebula-error.ts";
import { pathOf } from "../../common/rpc/service-definition.ts";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import type { Caller, Seen } from "../access/authenticate.ts";
import { type Changed, nameOf } from "../rpc/call-context.ts";
import { cut, subjectOf } from "./audit-subject.ts";
import { auditedOf } from "./audited-methods.ts";

/** Where a record goes. Neither rejects. */
export type AuditSink = {
  /** Resolves when the entry is stored. */
  recorded(entry: AuditEntry): Promise<void>;
  /** As recorded; equal refusals may be counted together. */
  refused(entry: AuditEntry): Promise<void>;
  /** Milliseconds since 1970. */
  now(): number;
};

/** Who called, where no credential was valid. */
export const NOBODY = "nobody";

/** What `who` is where refusals of several callers are counted together. */
export const SEVERAL = "several";

/** Whose refusals these are is no user's: a user called so could deny its own. */
export const NO_USERS: readonly string[] = [NOBODY, SEVERAL];

const LONGEST_WHO = 128;
const LONGEST_ADDRESS = 64;
const LONGEST_DETAIL = 300;
/** Fields of a refused request that a detail names. */
const MOST_FIELDS = 5;

/** What one call leaves in the audit log. */
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

  /** Told who calls as soon as that is known. */
  readonly seen: Seen = (caller) => {
    this.#caller = caller;
  };

  /** Told what is asked for. */
  asked(request: Message): void {
    this.#request = request;
  }

  /** One entry for each thing that was changed; the change is made, whatever becomes of the rest of the call. */
  readonly changed = (change: Changed): void => {
    this.#stored = this.#sink.recorded(this.#entry({ outcome: "OK", ...change }));
  };

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
  return (viaPart ? peer : peer.replace(/:\d+$/, "")).replace(/^::ffff:(?=\d+\.)/i, "");
}

/** Why it was refused, without the values that the request held: the name of a variable may have its value behind it where somebody wrote K=V. */
function detailOf({ violations, message }: NebulaError): string {
  if (violations.length === 0) return message;
  const fields = violations.slice(0, MOST_FIELDS).map(({ field }) => field.split("=", 1).join(""));
  const more = violations.length > MOST_FIELDS ? ` and ${violations.length - MOST_FIELDS} more` : "";
  return `not valid: ${fields.join(", ")}${more}`;
}
