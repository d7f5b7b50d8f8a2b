import type { EntityKey, Page } from "../../common/storage/config-store.ts";
import type { PageRequest } from "../../common/storage/report-store.ts";
import { mayWrite } from "../access/rights.ts";
import type { Principal } from "../rpc/call-context.ts";

/** Pages of a store that one page of an answer is made of at most: who may see nothing of a long list costs no more. */
const MOST_PAGES = 20;

/** Whether the caller may change a device_group, and so see and end the tokens that lead into it. */
export function mayChangeGroup(principal: Principal, deviceGroup: string): boolean {
  return principal.kind === "user" && mayWrite(principal.rights, groupKey(deviceGroup));
}

export function groupKey(deviceGroup: string): EntityKey {
  return { kind: "device_group", name: deviceGroup };
}

/** One page of what belongs to device_groups that the caller may change; it may be shorter than asked for, also where it is not the last one. */
export async function writablePage<T extends Readonly<{ deviceGroup: string }>>(
  principal: Principal,
  list: (page: PageRequest) => Promise<Page<T>>,
  asked: PageRequest,
): Promise<Page<T>> {
  let page = asked;
  for (let pages = 1; ; pages++) {
    const { items, next } = await list(page);
    const seen = items.filter(({ deviceGroup }) => mayChangeGroup(principal, deviceGroup));
    if (next === undefined || seen.length > 0 || pages === MOST_PAGES) return { items: seen, next };
    page = { ...page, after: next };
  }
}
