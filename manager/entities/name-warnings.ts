import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { EntityKey } from "../../common/storage/config-store.ts";
import { listed } from "../../common/text/wording.ts";
import type { Principal } from "../access/principal.ts";
import { readableBy } from "../access/rights/visible-pages.ts";
import type { EntityDeps } from "./write-entity.ts";

/**
 * Returns a warning after the create of an entity if the caller may read others of its kind whose names differ in case
 * alone.
 */
export function warningsOfName({ configStore, log }: Pick<EntityDeps, "configStore" | "log">, key: EntityKey, caller: Principal): Promise<string[]> {
  const isVisible = readableBy<string>(caller, key.kind, (name) => name) ?? (() => true);
  return warningsOfOthers(key, async () => (await configStore.namesInOtherCase(key)).filter(isVisible), log);
}

/** The same for any kind. The write is done: a store that fails now costs the warning, not the answer. */
export async function warningsOfOthers(
  { kind, name }: Readonly<{ kind: string; name: string }>,
  read: () => Promise<readonly string[]>,
  log: Log,
): Promise<string[]> {
  try {
    const others = await read();
    if (others.length === 0) return [];
    return [`${kind} ${name} differs in case alone from ${listed(others)}: if it is meant to be the same, delete one of them`];
  } catch (error) {
    log.warn({ error: messageOf(error) }, "names in another case could not be read");
    return [];
  }
}
