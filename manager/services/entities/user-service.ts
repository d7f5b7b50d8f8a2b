import { hashPassword } from "../../../common/access/password-hash.ts";
import { newToken, tokenHash } from "../../../common/access/tokens.ts";
import { assertNoViolations, invalidArgument, isNebulaError, NebulaError, type Violation } from "../../../common/errors/nebula-error.ts";
import { mapLimited } from "../../../common/map-limited.ts";
import { noSuch } from "../../../common/text/no-such.ts";
import { pageOf } from "../../../common/validation/list-request.ts";
import { validateName } from "../../../common/validation/names.ts";
import { type UserCredentials, validateUser } from "../../../common/validation/user.ts";
import type { UserService } from "../../../gen/nebula/v1/user_pb.ts";
import { RESERVED_USER_NAMES } from "../../audit/call-record.ts";
import { groupsWarnings, readWarnings, warningsOfOthers } from "../../entities/name-warnings.ts";
import { lastChangeOf } from "../../entities/revisions.ts";
import { type RecordDeps, RecordWriter, recordExists, type StoredRecord } from "../../entities/write-record.ts";
import type { CallContext, ServiceHandlers } from "../../rpc/call-context.ts";

export type UserServiceDeps = RecordDeps &
  Readonly<{
    /** The name of the configuration's admin, which no user may have. */
    localAdmin: string;
  }>;

/** The stored credentials of a user; empty: the user has none. */
type Credentials = Readonly<{ passwordHash: string; tokenHash: string }>;
type StoredUser = StoredRecord<Credentials>;

/** Users whose user_groups are read at the same time. */
const READS = 8;
/** The user_groups of a user that a list of users names: of 1000 users they fit into an answer. */
const LISTED_GROUPS = 10;

const NONE: Credentials = { passwordHash: "", tokenHash: "" };

/** UserService: who may call the API. Credentials come in clear, and are stored as hashes; what is made here is answered in clear once. */
export function createUserServiceHandlers(deps: UserServiceDeps): ServiceHandlers<typeof UserService> {
  const { accessStore, localAdmin } = deps;
  const users = new RecordWriter<Credentials>(
    {
      kind: "user",
      get: (name, signal) => accessStore.getUser(name, signal),
      write: (write, signal) => accessStore.writeUser(write, signal).catch(tokenInUse),
    },
    deps,
  );

  function noSuchUser(name: string): NebulaError {
    if (name !== localAdmin) return noSuch("user", name);
    const description = "it is the admin of the configuration (NEBULA_ADMIN_USER), whose password and token are changed there";
    return noSuch("user", name, description);
  }

  async function membershipsOf(user: string, signal: AbortSignal) {
    const names = await accessStore.groupNamesOf(user, signal);
    return { userGroups: names.slice(0, LISTED_GROUPS), count: names.length };
  }

  return {
    async createUser(request, context) {
      assertNoViolations(validateUser(request));
      if (request.name.toLowerCase() === localAdmin.toLowerCase()) throw isLocalAdmin(request.name, localAdmin);
      assertNoViolations(takenByAudit(request.name));
      const made = {
        generatedPassword: request.password === undefined && request.passwordHash === undefined ? newToken() : "",
        generatedToken: request.token === undefined ? newToken() : "",
      };
      const { passwordHash = "", tokenHash: token = "" } = await given(
        {
          password: request.password ?? (made.generatedPassword || undefined),
          passwordHash: request.passwordHash,
          token: request.token ?? made.generatedToken,
        },
        context.signal,
      );
      const user = await users.write({ name: request.name }, context, (current) => {
        if (current !== undefined) throw recordExists("user", current);
        return { kind: "write", fields: { passwordHash, tokenHash: token }, detail: "create" };
      });
      const { name } = request;
      const inOtherCase = await warningsOfOthers({ kind: "user", name }, () => accessStore.usersInOtherCase(name, context.signal), deps.log);
      const withoutRights = await readWarnings(deps, async () => groupsWarnings(name, await accessStore.groupNamesOf(name, context.signal)));
      return { user: userOf(user), ...made, warnings: [...withoutRights, ...inOtherCase] };
    },

    async getUser({ name, userGroups: hasUserGroups }, { signal }) {
      assertNoViolations(validateName(name));
      const stored = await accessStore.getUser(name, signal);
      if (stored === undefined || stored.deleted) throw noSuchUser(name);
      const userGroups = hasUserGroups ? [...(await accessStore.groupNamesOf(name, signal))] : [];
      const warnings = hasUserGroups ? groupsWarnings(name, userGroups) : [];
      return { user: userOf(stored), lastChange: lastChangeOf(stored), userGroups, warnings };
    },

    async listUsers(request, { signal }) {
      const { items, next } = await accessStore.listUsers(pageOf(request), signal);
      const memberships = request.memberships ? await mapLimited(items, READS, ({ name }) => membershipsOf(name, signal)) : [];
      return { users: items.map(userOf), nextPageToken: next ?? "", lastChanges: items.map(lastChangeOf), memberships };
    },

    async updateUser(request, context) {
      const { name, password, passwordHash, token, ifRevision } = request;
      assertNoViolations([...validateUser(request), ...nothingGiven(request)]);
      const change = await given({ password, passwordHash, token }, context.signal);
      const user = await users.write({ name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuchUser(name);
        return updateOf(current, change);
      });
      return { user: userOf(user) };
    },

    async deleteUser({ name, ifRevision }, context) {
      assertNoViolations(validateName(name));
      const { revision } = await users.write({ name, ifRevision }, context, (current) => {
        if (current === undefined) throw noSuchUser(name);
        return { kind: "delete", fields: NONE };
      });
      return { revision };
    },

    async refreshUserToken({ name }, context) {
      assertNoViolations(validateName(name));
      const token = newToken();
      const user = await users.write({ name }, context, (current) => {
        if (current === undefined) throw noSuchUser(name);
        return { kind: "write", fields: { passwordHash: current.passwordHash, tokenHash: tokenHash(token) }, detail: "a new token" };
      });
      return { token, user: userOf(user) };
    },
  };
}

/** The credentials of a request as they are stored: a password is hashed once, however often the write is tried. */
async function given(
  { password, passwordHash, token }: Omit<UserCredentials, "name">,
  signal: CallContext["signal"],
): Promise<Readonly<{ passwordHash: string | undefined; tokenHash: string | undefined }>> {
  return {
    passwordHash: password === undefined ? passwordHash : await hashPassword(password, { signal }),
    tokenHash: token === undefined ? undefined : tokenHash(token),
  };
}

function updateOf(current: StoredUser, change: Readonly<{ passwordHash: string | undefined; tokenHash: string | undefined }>) {
  const fields = { passwordHash: change.passwordHash ?? current.passwordHash, tokenHash: change.tokenHash ?? current.tokenHash };
  const changed = [
    ...(fields.passwordHash === current.passwordHash ? [] : ["password"]),
    ...(fields.tokenHash === current.tokenHash ? [] : ["token"]),
  ];
  return changed.length === 0 ? ({ kind: "keep" } as const) : ({ kind: "write", fields, detail: `another ${changed.join(" and ")}` } as const);
}

function userOf({ name, revision, passwordHash, tokenHash }: StoredUser) {
  return { name, revision, passwordHash, tokenHash };
}

function nothingGiven({ password, passwordHash, token }: UserCredentials): Violation[] {
  if (password !== undefined || passwordHash !== undefined || token !== undefined) return [];
  return [{ field: "password", description: "is missing, and so is everything else; give the password, the token or both" }];
}

/** The store refuses a token that somebody has already; whose it is stays untold. */
function tokenInUse(error: unknown): never {
  if (!isNebulaError(error, "already_exists")) throw error;
  throw invalidArgument([{ field: "token", description: "is in use already; use another one, or none so that one is generated" }]);
}

/** Users who are there already, of an older server, stay. */
function takenByAudit(name: string): Violation[] {
  if (!RESERVED_USER_NAMES.includes(name)) return [];
  return [{ field: "name", description: `"${name}" is reserved, the audit log uses it; use another name` }];
}

function isLocalAdmin(name: string, localAdmin: string): NebulaError {
  const who = name === localAdmin ? `${name} is` : `${name} differs in case alone from ${localAdmin},`;
  return new NebulaError(
    "already_exists",
    `${who} the admin of the configuration (NEBULA_ADMIN_USER), whom no user may hide: choose another name, or change that setting`,
  );
}
