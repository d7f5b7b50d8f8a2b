import { invalidArgument, NebulaError, type Violation } from "../../common/errors/nebula-error.ts";
import type { Principal } from "../rpc/call-context.ts";

/** Numbers that an import may raise: each at least this. */
export type Minimums = Readonly<{ minRevision?: bigint | undefined; minPruneId?: bigint | undefined }>;

/** v2 carries these numbers in JSON, which is exact up to here; and a number that can't rise any more would be the end of its entity. */
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER) / 2n;

/** Throws `permission_denied` where somebody else than an admin gives one, `invalid_argument` where one is too large. */
export function checkMinimums({ minRevision, minPruneId }: Minimums, principal: Principal): void {
  const given = [
    ["min_revision", minRevision],
    ["min_prune_id", minPruneId],
  ] as const;
  const isAdmin = principal.kind === "user" && principal.rights.admin;
  const violations = given.flatMap(([field, value]): Violation[] => {
    if (value === undefined) return [];
    if (!isAdmin) throw new NebulaError("permission_denied", `${field} is for imports by admins: leave it out, or log in as one`);
    return value <= LARGEST ? [] : [{ field, description: `${value} is too large; at most ${LARGEST} would do` }];
  });
  if (violations.length > 0) throw invalidArgument(violations);
}
