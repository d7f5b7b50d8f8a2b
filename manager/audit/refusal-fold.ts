/**
 * Refused calls of one minute, equal ones counted together, so that a flood of them cannot fill the audit log or the memory.
 * D1 Every refusal is stood for by exactly one entry: its own, given out at once when it is the first of its kind, or else one that `drain` yields.
 * D2 The kinds kept apart are bounded: KINDS_PER_ADDRESS (who, from, method, outcome) of one address and KINDS in all; what is beyond that is
 *    counted per (from, outcome), for up to ADDRESSES addresses; what is beyond that per outcome. So nothing is left out of the count, no party's
 *    flood hides another's refusals until KINDS are there, and one minute leaves at most 2 * KINDS + ADDRESSES entries and one per outcome.
 */
import { clone, create } from "@bufbuild/protobuf";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { SEVERAL } from "./call-record.ts";

export const KINDS_PER_ADDRESS = 16;
export const KINDS = 256;
export const ADDRESSES = 256;

type Counted = { entry: AuditEntry; repeats: number };

export class RefusalFold {
  readonly #kinds = new Map<string, Counted>();
  readonly #kindsOfAddress = new Map<string, number>();
  readonly #addresses = new Map<string, Counted>();
  readonly #outcomes = new Map<string, Counted>();

  get empty(): boolean {
    return this.#kinds.size === 0 && this.#addresses.size === 0 && this.#outcomes.size === 0;
  }

  /** Takes a refusal; answers the entry to store at once, undefined when the refusal was counted (D1). */
  add(refusal: AuditEntry): AuditEntry | undefined {
    const { who, from, method, outcome } = refusal;
    const key = JSON.stringify([who, from, method, outcome]);
    const known = this.#kinds.get(key);
    if (known !== undefined) {
      count(known, refusal);
      return undefined;
    }
    const ofAddress = this.#kindsOfAddress.get(from) ?? 0;
    if (this.#kinds.size < KINDS && ofAddress < KINDS_PER_ADDRESS) {
      this.#kinds.set(key, { entry: refusal, repeats: 0 });
      this.#kindsOfAddress.set(from, ofAddress + 1);
      return refusal;
    }
    const byAddress = JSON.stringify([from, outcome]);
    if (this.#addresses.has(byAddress) || this.#addresses.size < ADDRESSES) countBeyond(this.#addresses, byAddress, refusal, from);
    else countBeyond(this.#outcomes, outcome, refusal, ""); // D2
    return undefined;
  }

  /** Ends the minute: the entries of what was counted. */
  drain(): AuditEntry[] {
    const counted = [...this.#kinds.values(), ...this.#addresses.values(), ...this.#outcomes.values()];
    for (const map of [this.#kinds, this.#kindsOfAddress, this.#addresses, this.#outcomes]) map.clear();
    return counted.flatMap(({ entry, repeats }) => (repeats === 0 ? [] : [Object.assign(clone(AuditEntrySchema, entry), { repeats })]));
  }
}

/** One more of a kind: what the last one was about, where all were about the same. */
function count(counted: Counted, { at, kind, name, detail, requestId }: AuditEntry): void {
  const { entry, repeats } = counted;
  const next = clone(AuditEntrySchema, entry);
  counted.repeats = repeats + 1;
  counted.entry = Object.assign(next, {
    ...(at === undefined ? {} : { at }),
    requestId,
    ...(entry.kind === kind && entry.name === name ? {} : { kind: entry.kind === kind ? kind : "", name: "" }),
    ...(entry.detail === detail ? {} : { detail: "" }),
  });
}

function countBeyond(counted: Map<string, Counted>, key: string, { at, outcome, requestId }: AuditEntry, from: string): void {
  const entry = create(AuditEntrySchema, {
    ...(at === undefined ? {} : { at }),
    who: SEVERAL,
    from,
    outcome,
    requestId,
    detail: "more callers and methods were refused than are kept apart",
  });
  counted.set(key, { entry, repeats: (counted.get(key)?.repeats ?? 0) + 1 });
}
