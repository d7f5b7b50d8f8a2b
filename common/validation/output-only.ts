import type { EntityKind } from "../storage/config-store.ts";

/** The fields that only the managers write, by proto names. */
export const OUTPUT_ONLY: Readonly<Record<EntityKind | "user_group", readonly string[]>> = {
  app: ["revision", "restart_count"],
  cron_job: ["revision"],
  device_group: ["revision", "prune_id"],
  user_group: ["revision"],
};
