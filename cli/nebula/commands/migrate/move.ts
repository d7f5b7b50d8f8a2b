import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { SECRET_FILES } from "../../../../common/keys/key-files.ts";
import type { Log } from "../../../../common/log/log.ts";
import { CONFIG_DATABASE, openDrivers, STORES } from "../../../../common/open-drivers.ts";
import type { Settings } from "../../../../common/settings/settings.ts";
import { carriesPassword, withoutPassword } from "../../../../common/settings/urls.ts";
import type { NebulaIo } from "../../command/command.ts";
import { moveStores } from "./move-stores.ts";

/** One side of a move. */
export type Side = Pick<Settings, "store" | "reports" | "dataDir">;

/** The two sides that flags name; undefined where they name none. */
export type Sides = Readonly<{ from: Side; to: Side }>;

const FLAGS = ["from", "to", "from-reports", "to-reports"] as const;

/**
 * Reads --from, --to, --from-reports and --to-reports.
 * @throws NebulaError invalid_argument
 */
export function sidesOf(own: ReadonlyMap<string, string>, settings: Pick<Settings, "dataDir">): Sides | undefined {
  if (FLAGS.every((flag) => !own.has(flag))) return undefined;
  for (const other of ["after-restore", "new-cluster-key"]) {
    if (own.get(other) === "true")
      throw new NebulaError("invalid_argument", `--${other} can't be given with --from and --to: run it before or after the move`);
  }
  const sides = { from: sideOf("from", own, settings), to: sideOf("to", own, settings) };
  if (placeOf(sides.from) === placeOf(sides.to)) {
    throw new NebulaError("invalid_argument", "--from and --to name the same store: use an empty folder, or a keyspace that is not in use, as --to");
  }
  return sides;
}

function sideOf(flag: "from" | "to", own: ReadonlyMap<string, string>, { dataDir }: Pick<Settings, "dataDir">): Side {
  const url = own.get(flag);
  const example = "sqlite:FOLDER or cassandra://host:9042/keyspace";
  if (url === undefined) throw new NebulaError("invalid_argument", `missing --${flag}: use ${example}`);
  const reports = own.get(`${flag}-reports`);
  if (reports !== undefined && reports !== "sqlite:" && !reports.startsWith("cassandra://"))
    throw new NebulaError(
      "invalid_argument",
      `invalid --${flag}-reports "${withoutPassword(reports)}": use sqlite: or cassandra://host:9042/keyspace`,
    );
  for (const each of [url, reports ?? ""]) {
    if (carriesPassword(each))
      throw new NebulaError("invalid_argument", `invalid --${flag} "${withoutPassword(each)}": it carries a password; use NEBULA_STORE_PASSWORD`);
  }
  if (url.startsWith("cassandra://")) return { store: url, reports: reports ?? url, dataDir };
  if (!url.startsWith("sqlite:")) throw new NebulaError("invalid_argument", `invalid --${flag} "${withoutPassword(url)}": use ${example}`);
  const folder = url.slice("sqlite:".length);
  return { store: "sqlite:", reports: reports ?? "sqlite:", dataDir: folder === "" ? dataDir : folder };
}

function placeOf({ store, dataDir }: Side): string {
  return store === "sqlite:" ? `sqlite:${resolve(dataDir)}` : store;
}

export type MoveContext = Readonly<{ settings: Settings; sides: Sides; log: Log; io: NebulaIo; signal: AbortSignal }>;

/**
 * Moves a cluster from one store to another. The keyspaces of the target have their schema.
 * @throws NebulaError failed_precondition while a component runs on one of the two; as `moveStores` does
 */
export async function move({ settings, sides, log, io, signal }: MoveContext): Promise<void> {
  const { from, to } = sides;
  const path = join(from.dataDir, CONFIG_DATABASE);
  if (from.store === "sqlite:" && !existsSync(path)) {
    throw new NebulaError("not_found", `store ${path} not found: --from must name the data folder of a server, as sqlite:FOLDER`);
  }
  const options = { clock: systemClock, log, signal };
  await using source = await openDrivers(STORES, { ...options, settings: { ...settings, ...from } });
  await using target = await openDrivers(STORES, { ...options, settings: { ...settings, ...to }, unfinished: true });
  const { id, epoch } = source.configStore.cluster;
  io.print(`cluster ${id}, epoch ${epoch}: ${placeOf(from)} -> ${placeOf(to)}`);
  const { reportTtlMs, auditRetentionMs } = settings;
  const moved = await moveStores({ from: source, to: target, now: () => systemClock.now(), reportTtlMs, auditRetentionMs, say: io.print, signal });
  io.print(`moved and compared: ${moved.map(({ kind, records }) => `${kind} ${records}`).join(", ")}; every record is the same in both stores`);
  io.print(
    `start no server on ${placeOf(from)} any more; start every part with NEBULA_STORE=${to.store}${folderOf(to)}, and with the same cluster key`,
  );
  if (from.store === "sqlite:" && settings.clusterKey === undefined) {
    io.print(
      `the cluster key is in ${join(from.dataDir, SECRET_FILES.clusterKey)}, the admin's password in ${join(from.dataDir, SECRET_FILES.adminPassword)}: give them as NEBULA_CLUSTER_KEY_FILE and NEBULA_ADMIN_PASSWORD_FILE`,
    );
  }
}

function folderOf({ store, dataDir }: Side): string {
  return store === "sqlite:" ? `, NEBULA_DATA=${dataDir}` : "";
}
