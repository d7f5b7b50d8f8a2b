import type { JsonObject } from "@bufbuild/protobuf";
import { inBatches } from "../apply/in-batches.ts";
import type { OriginalApi, OriginalNoun } from "./original-api.ts";

/** An object of the original, as its API shows it. */
export type OriginalObject = Readonly<{ name: string; fields: JsonObject }>;

/** All that an original manager holds. */
export type Original = Readonly<Record<OriginalNoun, readonly OriginalObject[]>>;

/** Reads under way at once: the original is one process that answers a few thousand a second at best, four where it has to check a user. */
const READS = 4;

/** Reads everything from a running original manager. What is deleted meanwhile is left out. */
export async function readOriginal(api: Pick<OriginalApi, "names" | "object">): Promise<Original> {
  const all = async (noun: OriginalNoun): Promise<OriginalObject[]> => {
    const objects = await inBatches(await api.names(noun), READS, async (name) => ({ name, fields: await api.object(noun, name) }));
    return objects.flatMap(({ name, fields }) => (fields === undefined ? [] : [{ name, fields }]));
  };
  return {
    apps: await all("apps"),
    cron_jobs: await all("cron_jobs"),
    device_groups: await all("device_groups"),
    users: await all("users"),
    user_groups: await all("user_groups"),
  };
}
