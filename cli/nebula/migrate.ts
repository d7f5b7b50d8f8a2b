import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createLog } from "../../common/log/log.ts";
import { CONFIG_DATABASE, openDrivers, STORES } from "../../common/open-drivers.ts";
import type { CommandContext } from "./command.ts";
import { turnClusterKey } from "./turn-cluster-key.ts";

/**
 * Brings the store's schema up to date; after a restore from a backup raises its epoch; turns secret values over to a new cluster key. The server must not run: the
 * folder is taken for the time.
 */
export async function migrate({ settings, own, io }: CommandContext): Promise<number> {
  const path = join(settings.dataDir, CONFIG_DATABASE);
  if (!existsSync(path)) {
    throw new NebulaError("not_found", `there is no store ${path}: NEBULA_DATA has to name the folder of a server that ran, or of a backup`);
  }
  const log = createLog({ level: settings.logLevel, part: "migrate" });
  await using drivers = await openDrivers(STORES, { settings, clock: systemClock, log });
  const { configStore } = drivers;
  io.print("the schema is up to date");
  if (own.get("after-restore") === "true") {
    const before = configStore.cluster.epoch;
    const { id, epoch } = await configStore.raiseEpoch(systemClock.now());
    io.print(`cluster ${id}: epoch ${before} -> ${epoch}; devices follow this store again, whatever they had seen before the restore`);
  }
  if (own.get("new-cluster-key") === "true") await turnClusterKey({ settings, configStore, io });
  return 0;
}
