import { ENTITY_KINDS } from "../../../../common/storage/config-store.ts";
import { DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { UserService } from "../../../../gen/nebula/v1/user_pb.ts";
import { findLogin } from "../../command/find-login.ts";
import { type Names, normaliseName } from "../../command/flags.ts";
import { GLOBAL_FLAGS } from "../../command/global-flags.ts";
import { parseFlags } from "../../command/parse-flags.ts";
import type { Io } from "../../io/io.ts";
import { readProfiles } from "../../session/login-files.ts";
import { Session } from "../../session/session.ts";
import { appKind } from "../entities/app-kind.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import type { Call } from "../entities/kind.ts";
import { userGroupKind } from "../entities/user-group-kind.ts";
import { allPages, type Page } from "../lists/pages.ts";

/** How long a key press may wait for the server, milliseconds. With the start of nebulactl it waits about a second. */
const WITHIN_MS = 800;

/** Names that no shell reads otherwise than as they are; others are not offered. */
const PLAIN = /^[\w.@+-]+$/;

/** The kinds whose names the server lists. */
type Listed = Exclude<Names, "profile" | "target" | "entity" | "resource">;

/** The names that were asked for, by kind. */
type Sources = Readonly<Record<Listed, (call: Call) => AsyncIterable<string>>>;

const SOURCES: Sources = {
  app: (call) => namesOf((size, token) => appKind.calls.page(call, size, token)),
  cron_job: (call) => namesOf((size, token) => cronJobKind.calls.page(call, size, token)),
  device_group: (call) => namesOf((size, token) => deviceGroupKind.calls.page(call, size, token)),
  user_group: (call) => namesOf((size, token) => userGroupKind.calls.page(call, size, token)),
  user: ({ client, signal }) =>
    namesOf(async (pageSize, pageToken) => {
      const { users, nextPageToken } = await (await client(UserService)).listUsers({ pageSize, pageToken }, { signal });
      return { items: users, nextPageToken };
    }),
  device: ({ client, signal }) =>
    namesOf(async (pageSize, pageToken) => {
      const { devices, nextPageToken } = await (await client(DeviceService)).listDevices({ pageSize, pageToken, summariesOnly: true }, { signal });
      return { items: devices.map(({ deviceId }) => ({ name: deviceId })), nextPageToken };
    }),
};

const LISTED = Object.keys(SOURCES).filter((kind): kind is Listed => Object.hasOwn(SOURCES, kind));

/** The kinds of a NAME that may be of several. */
const SEVERAL: Readonly<Record<"target" | "entity", readonly Listed[]>> = {
  target: ["app", "cron_job"],
  entity: ENTITY_KINDS,
};

/**
 * Prints the names that a shell offers, a line each. Prints none, and never an error, if the server does not answer
 * with all of them in time, or refuses: a part of the names would complete to a wrong one.
 * @param args the kind of the names, then the words of the command line so far, whose flags name the server and the login
 */
export async function printNames([kind = "", ...typed]: readonly string[], io: Io, signal: AbortSignal): Promise<number> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(WITHIN_MS)]);
  const quiet: Io = { ...io, err: () => {}, terminal: undefined };
  try {
    const names = await namesFor(kind === "resource" ? kindBefore(typed) : kind, typed, quiet, within);
    io.out(names.map((name) => `${name}\n`).join(""));
  } catch {
    // a shell offers nothing then
  }
  return 0;
}

async function namesFor(kind: string, typed: readonly string[], io: Io, signal: AbortSignal): Promise<string[]> {
  if (kind === "profile") return plain([...(await readProfiles(io.home)).logins.keys()]);
  const kinds = isSeveral(kind) ? SEVERAL[kind] : LISTED.filter((name) => name === kind);
  const parsed = parseFlags(loginWords(typed), GLOBAL_FLAGS, "completion");
  if (kinds.length === 0 || parsed.kind === "wrong") return [];
  const session = new Session({ findLogin: () => findLogin(parsed.values, io, signal), connect: (login) => io.connect(login) });
  const call: Call = { client: (service) => session.client(service), signal };
  return distinct(await Promise.all(kinds.map(async (of) => ({ kind: of, names: plain(await Array.fromAsync(SOURCES[of](call))) }))));
}

function isSeveral(kind: string): kind is keyof typeof SEVERAL {
  return Object.hasOwn(SEVERAL, kind);
}

function plain(names: readonly string[]): string[] {
  return names.filter((name) => PLAIN.test(name));
}

/** Names of several kinds; one that two kinds have is `app/web` and `cron_job/web`. */
function distinct(lists: readonly Readonly<{ kind: Listed; names: readonly string[] }>[]): string[] {
  const [only, ...others] = lists;
  if (only !== undefined && others.length === 0) return [...only.names];
  const times = new Map<string, number>();
  for (const name of lists.flatMap(({ names }) => names)) times.set(name, (times.get(name) ?? 0) + 1);
  return lists.flatMap(({ kind, names }) => names.map((name) => (times.get(name) === 1 ? name : `${kind}/${name}`)));
}

/** The flags for the server and the login among the words of an unfinished command line, with their values. */
function loginWords(typed: readonly string[]): string[] {
  return typed.flatMap((word, index) => {
    const [name = "", ...inline] = word.split("=");
    const known = GLOBAL_FLAGS.find((flag) => flag.kind === "text" && [flag.name, ...(flag.aliases ?? [])].includes(normaliseName(name.slice(2))));
    if (!name.startsWith("--") || known === undefined) return [];
    const value = inline.length > 0 ? inline.join("=") : typed[index + 1];
    return value === undefined ? [] : [`--${known.name}=${value}`];
  });
}

/** The kind of the noun before the name, as in `get apps web`, or of the flag, as in `audit --kind app --name web`. */
function kindBefore(typed: readonly string[]): string {
  const nouns = typed.map((word) =>
    word
      .replace(/^--kind=/, "")
      .replaceAll("-", "_")
      .replace(/s$/, ""),
  );
  return nouns.find((noun) => Object.hasOwn(SOURCES, noun)) ?? "";
}

async function* namesOf(fetch: (size: number, token: string) => Promise<Page<{ name: string }>>): AsyncGenerator<string> {
  for await (const { name } of allPages(fetch)) yield name;
}
