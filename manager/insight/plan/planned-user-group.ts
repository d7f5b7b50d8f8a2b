import { fromBinary } from "@bufbuild/protobuf";
import { encodeCanonical } from "../../../common/config/canonical-encoding.ts";
import { invalidArgument } from "../../../common/errors/nebula-error.ts";
import { type FieldChange, fieldChanges } from "../../../common/resources/field-changes.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { resourceJson } from "../../../common/resources/resource-fields.ts";
import type { AccessStore, StoredUserGroup } from "../../../common/storage/access-store.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { unknownFieldPaths } from "../../../common/validation/message-shape.ts";
import { validateName } from "../../../common/validation/names.ts";
import { normaliseUserGroup, OUTPUT_ONLY } from "../../../common/validation/normal-form.ts";
import { validateUserGroup } from "../../../common/validation/user-group.ts";
import { type PlannedAction, PlannedVerb } from "../../../gen/nebula/v1/plan_pb.ts";
import { type UserGroup, UserGroupSchema } from "../../../gen/nebula/v1/user_group_pb.ts";
import type { Principal } from "../../access/principal.ts";
import { assertPermitted } from "../../access/rights/permit.ts";
import { type MembersRead, memberWarnings } from "../../entities/name-warnings.ts";
import { checkGiven, updatedViolations, updateFields } from "../../entities/update-fields.ts";

/** A change of a user_group, as its write would make it. */
export type PlannedUserGroup = Readonly<{
  kind: "user_group";
  name: string;
  stored: StoredUserGroup | undefined;
  before: Resource | undefined;
  after: Resource | undefined;
  revisionBefore: bigint;
  revisionAfter: bigint;
  differences: readonly FieldChange[];
  fingerprint: Uint8Array;
  /** About the members after the change, as its write answers them. */
  warnings: readonly string[];
}>;

type Store = Pick<AccessStore, "getUserGroup">;
type Asked = Readonly<{ principal: Principal; signal: AbortSignal; at: string }>;

/** Plans what `apply` writes of a user_group, for admins. */
export async function planUserGroup(
  deps: MembersRead & Readonly<{ accessStore: Store }>,
  message: UserGroup,
  { principal, signal, at }: Asked,
): Promise<PlannedUserGroup> {
  assertPermitted(principal, { kind: "admin" }, false);
  const given = checkGiven("user_group", message, unknownFields);
  assertValid(given.name, at);
  const { stored, group } = await read(deps.accessStore, given.name, signal);
  const after = group === undefined ? normaliseUserGroup(given) : replaced(group, given);
  const isSame = group !== undefined && Buffer.compare(bytesOf(group), bytesOf(after)) === 0;
  const violations = isSame ? [] : updatedViolations(after, validateUserGroup, unknownFields);
  if (violations.length > 0) throw invalidArgument(violations.map(({ field, description }) => ({ field: `${at}.${field}`, description })));
  return { ...plannedOf(given.name, stored, group, after, !isSame), warnings: await memberWarnings(deps, after, signal) };
}

/** Plans the delete of a user_group, for admins. */
export async function planUserGroupDelete(store: Store, { name, verb }: PlannedAction, { principal, signal, at }: Asked): Promise<PlannedUserGroup> {
  assertPermitted(principal, { kind: "admin" }, false);
  assertValid(name, at);
  if (verb !== PlannedVerb.DELETE) throw invalidArgument([{ field: `${at}.action.verb`, description: "is not a verb of a user_group; use DELETE" }]);
  const { stored, group } = await read(store, name, signal);
  if (group === undefined) throw noSuch("user_group", name);
  return { ...plannedOf(name, stored, group, undefined, true), warnings: [] };
}

function plannedOf(
  name: string,
  stored: StoredUserGroup | undefined,
  before: UserGroup | undefined,
  after: UserGroup | undefined,
  isWritten: boolean,
): Omit<PlannedUserGroup, "warnings"> {
  const revisionBefore = stored?.revision ?? 0n;
  const resourceOf = (userGroup: UserGroup): Resource => ({ kind: "user_group", userGroup });
  const [was, is] = [before && resourceOf(before), after && resourceOf(after)];
  const changes = is === undefined ? [] : fieldChanges(was === undefined ? {} : resourceJson(was), resourceJson(is));
  return {
    kind: "user_group",
    name,
    stored,
    before: was,
    after: is,
    revisionBefore,
    revisionAfter: isWritten ? revisionBefore + 1n : revisionBefore,
    differences: changes.filter(({ field }) => field !== "kind" && field !== "name"),
    fingerprint: after === undefined ? new Uint8Array() : bytesOf(after),
  };
}

async function read(store: Store, name: string, signal: AbortSignal) {
  const stored = await store.getUserGroup(name, signal);
  return { stored, group: stored === undefined || stored.deleted ? undefined : fromBinary(UserGroupSchema, stored.body) };
}

function replaced(stored: UserGroup, given: UserGroup): UserGroup {
  const update = updateFields(UserGroupSchema, OUTPUT_ONLY.user_group, stored, given, ["*"]);
  if (update.kind === "invalid") throw invalidArgument(update.violations);
  return normaliseUserGroup(update.message);
}

/** Without its revision: equal groups have equal bytes. */
function bytesOf(group: UserGroup): Uint8Array {
  const normal = normaliseUserGroup(group);
  normal.revision = 0n;
  return encodeCanonical(UserGroupSchema, normal);
}

function assertValid(name: string, at: string): void {
  const violations = validateName(name);
  if (violations.length > 0) throw invalidArgument(violations.map(({ field, description }) => ({ field: `${at}.${field}`, description })));
}

function unknownFields(group: UserGroup): string[] {
  return unknownFieldPaths(UserGroupSchema, group);
}
