/** The entries of the audit log that a list shows: in its address, as a request, as flags of nebulactl. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TIME_FORMS, timeBefore } from "../../../../common/text/time-before.ts";
import type { ListAuditEntriesRequestSchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import { commandLine } from "../parts/format.ts";

const NAMES = ["user", "kind", "name", "outcome", "since", "until"] as const;

export type AuditFilter = Readonly<{
  /** A user, `device/ID`, or nobody. */
  user?: string | undefined;
  /** app, user_group, session, ... */
  kind?: string | undefined;
  name?: string | undefined;
  /** OK, PERMISSION_DENIED, ... */
  outcome?: string | undefined;
  /** A duration before now, or an ISO time, as nebulactl takes them. */
  since?: string | undefined;
  until?: string | undefined;
}>;

/** The filter in the query of an address. */
export function auditFilterOf(query: URLSearchParams): AuditFilter {
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) || undefined]));
}

/** The address of the list of these entries. */
export function auditAddress(filter: AuditFilter = {}): string {
  const given = NAMES.flatMap((name) => (filter[name] ? [[name, filter[name]]] : []));
  return given.length === 0 ? "/ui/audit" : `/ui/audit?${new URLSearchParams(given)}`;
}

/** The fault in the times of a filter, as nebulactl says it; undefined if there is none. */
export function timeFault(filter: AuditFilter, now: number): string | undefined {
  const wrong = (["since", "until"] as const).find((name) => filter[name] !== undefined && timeBefore(filter[name], now) === undefined);
  return wrong === undefined ? undefined : `invalid ${wrong} "${filter[wrong]}": ${TIME_FORMS}`;
}

/** The request for these entries, without its page. @param now wall clock, milliseconds since 1970 */
export function auditRequest(
  { user = "", kind = "", name = "", outcome = "", since, until }: AuditFilter,
  now: number,
): Exclude<MessageInitShape<typeof ListAuditEntriesRequestSchema>, { $typeName: string }> {
  const [fromMs, untilMs] = [since, until].map((text) => (text === undefined ? undefined : timeBefore(text, now)));
  return {
    who: user,
    kind,
    name,
    outcome,
    ...(fromMs === undefined ? {} : { fromTime: timestampFromMs(fromMs) }),
    ...(untilMs === undefined ? {} : { untilTime: timestampFromMs(untilMs) }),
  };
}

/** The line of nebulactl that lists these entries. */
export function auditCommand(filter: AuditFilter): string {
  return commandLine(["nebulactl", "audit", "list", ...NAMES.flatMap((name) => (filter[name] ? [`--${name}`, filter[name]] : []))]);
}
