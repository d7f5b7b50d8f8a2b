import { timestampMs } from "@bufbuild/protobuf/wkt";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import { pathOf } from "../../../../common/rpc/service-definition.ts";
import { type AccessStore, ENDED_AS_OLDEST } from "../../../../common/storage/access-store.ts";
import { AccessService } from "../../../../gen/nebula/v1/access_pb.ts";
import type { AuditEntry } from "../../../../gen/nebula/v1/audit_pb.ts";

// Credentials that a restore brought back: the audit log says that they ended, and the store takes them again. The parts of a store may be restored
// as of different moments: the snapshots of Cassandra's nodes and tables, or the databases of an SQLite store. Nobody can list the credentials that
// ended after the newest entry.

/** A credential that the store takes although the audit log says that it ended. */
export type RestoredCredential = Readonly<{
  kind: Kind;
  name: string;
  /** The words of the audit log on it, and their time, milliseconds since 1970. */
  detail: string;
  at: number;
  who: string;
}>;

export type RestoredCredentials = Readonly<{
  /** By kind and name. */
  found: readonly RestoredCredential[];
  /** When the newest change in the audit log was made, milliseconds since 1970; undefined: the log is empty. */
  newestMs: number | undefined;
}>;

type Kind = "device" | "enrolment_token" | "session" | "user" | "user_group";
type Store = Pick<AccessStore, "listAudit" | "deviceToken" | "enrolment" | "session" | "getUser" | "getUserGroup">;

const PAGE = 1000;
/** Credentials that are looked up at a time. */
const AT_ONCE = 16;

/** Compares the audit log, as far as it goes back, with the credentials that the store has now. */
export async function findRestoredCredentials(store: Store, nowMs: number, signal: AbortSignal): Promise<RestoredCredentials> {
  const { ends, newestMs } = await readEnds(store, signal);
  const found: RestoredCredential[] = [];
  for (let from = 0; from < ends.length; from += AT_ONCE) {
    const some = ends.slice(from, from + AT_ONCE);
    const back = await Promise.all(some.map((end) => isBack(store, end, nowMs, signal)));
    found.push(...some.filter((_, index) => back[index]).map((end) => end.credential));
  }
  return { found: found.sort((one, other) => (one.kind === other.kind ? compare(one.name, other.name) : compare(one.kind, other.kind))), newestMs };
}

/** Returns the lines that the operator of a restored store reads. */
export function describeRestored({ found, newestMs }: RestoredCredentials): readonly string[] {
  const list = found.map((credential) => `  ${againOf(credential)}   # ${credential.detail}, ${time(credential.at)}, by ${credential.who}`);
  const head = "valid again after the restore, although the audit log says that they ended: when managers run, end them once more";
  const until =
    newestMs === undefined
      ? "the audit log of this store is empty: revoke again what was revoked since the backup"
      : `the newest change in the audit log of this store is of ${time(newestMs)}: what was revoked later is not listed, and is valid again: revoke it once more`;
  return [...(list.length === 0 ? [] : [head, ...list]), until];
}

/** The command that ends it. */
function againOf({ kind, name, detail }: RestoredCredential): string {
  switch (kind) {
    case "device":
      return `nebulactl devices revoke ${name}`;
    case "enrolment_token":
      return `nebulactl devices revoke-enrolment ${name}`;
    case "session":
      return `nebulactl sessions delete ${name}`;
    case "user":
      return detail === DELETED ? `nebulactl users delete ${name}` : `nebulactl users refresh ${name}`;
    case "user_group":
      return detail === DELETED ? `nebulactl user-groups delete ${name}` : `nebulactl user-groups update ${name}`;
    default:
      return assertNever(kind);
  }
}

const DELETED = "delete";

/** An end of a credential that the log has: the newest of each. */
type End = Readonly<{ credential: RestoredCredential /** Of a user or user_group: its revision from then on. */; revision: bigint }>;

async function readEnds(store: Store, signal: AbortSignal): Promise<{ ends: readonly End[]; newestMs: number | undefined }> {
  const ends = new Map<string, End>();
  let newestMs: number | undefined;
  let after: string | undefined;
  do {
    const page = await store.listAudit({ outcome: "OK" }, { limit: PAGE, ...(after === undefined ? {} : { after }) }, signal);
    for (const entry of page.items) {
      newestMs ??= millisecondsOf(entry);
      const end = endOf(entry);
      if (end === undefined) continue;
      const key = `${end.credential.kind} ${end.credential.name}`;
      // newest first; where the clocks of managers differ, the revisions say which change of a user is the newest
      if ((ends.get(key)?.revision ?? -1n) < end.revision) ends.set(key, end);
    }
    after = page.next;
  } while (after !== undefined);
  return { ends: [...ends.values()], newestMs };
}

const REVOKED = new Map<string, Kind>([
  [pathOf(AccessService.method.revokeDeviceToken), "device"],
  [pathOf(AccessService.method.revokeEnrolmentToken), "enrolment_token"],
  [pathOf(AccessService.method.deleteSession), "session"],
]);

/** Every change of a user or user_group counts: it may have replaced a password or token, or withdrawn a right. */
function endOf(entry: AuditEntry): End | undefined {
  const { name, kind: about, revisionBefore, revisionAfter, method, detail, who } = entry;
  const isRecord = (about === "user" || about === "user_group") && revisionAfter > revisionBefore && revisionBefore > 0n;
  const kind = isRecord ? about : detail === ENDED_AS_OLDEST ? "session" : REVOKED.get(method);
  if (kind === undefined || name === "") return undefined;
  return { credential: { kind, name, detail, at: millisecondsOf(entry), who }, revision: isRecord ? revisionAfter : 0n };
}

async function isBack(store: Store, { credential: { kind, name, at }, revision }: End, nowMs: number, signal: AbortSignal): Promise<boolean> {
  switch (kind) {
    case "device": {
      const token = await store.deviceToken(name, signal);
      return token !== undefined && token.enrolledAt <= at; // one that enrolled later has a token of its own right
    }
    case "enrolment_token": {
      const token = await store.enrolment(name, signal);
      return token !== undefined && token.usesLeft > 0 && token.expiresAt > nowMs;
    }
    case "session": {
      const session = await store.session(name, signal);
      return session !== undefined && session.expiresAt > nowMs;
    }
    case "user":
      return isOlder(await store.getUser(name, signal), revision);
    case "user_group":
      return isOlder(await store.getUserGroup(name, signal), revision);
    default:
      return assertNever(kind);
  }
}

/** A record that does not exist grants nothing. */
function isOlder(record: Readonly<{ revision: bigint; deleted: boolean }> | undefined, revision: bigint): boolean {
  return record !== undefined && !record.deleted && record.revision < revision;
}

function millisecondsOf({ at }: AuditEntry): number {
  return at === undefined ? 0 : timestampMs(at);
}

function time(atMs: number): string {
  return new Date(atMs).toISOString();
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
