/** The addresses of one device, device_group, app and change, which stay. Names are those of the API. Pure. */
import type { EntityKind } from "../../../../common/storage/config-store.ts";
import { type DevicesFilter, filterQuery } from "./devices-filter.ts";

export type ChangeName = Readonly<{ kind: EntityKind; name: string; revision: bigint }>;

const KINDS: readonly EntityKind[] = ["app", "cron_job", "device_group"];
/** Digits of the largest revision. */
const LONGEST_REVISION = 20;

export const DEVICE_PATH = "/ui/devices/:id";
export const CHANGE_PATH = "/ui/changes/:kind/:name/:revision";

export function deviceAddress(deviceId: string): string {
  return DEVICE_PATH.replace(":id", () => encodeURIComponent(deviceId));
}

export function changeAddress({ kind, name, revision }: ChangeName): string {
  return ["/ui/changes", kind, encodeURIComponent(name), revision].join("/");
}

/** The change that an address names; undefined if it names none. */
export function changeNameOf(params: Readonly<Record<string, string>>): ChangeName | undefined {
  const { kind: word, name = "", revision = "" } = params;
  const kind = KINDS.find((kind) => kind === word);
  if (kind === undefined || name === "" || !/^[1-9]\d*$/.test(revision) || revision.length > LONGEST_REVISION) return undefined;
  return { kind, name, revision: BigInt(revision) };
}

/** The address of a device_group; its devices are listed by a filter. */
export function groupAddress(name: string, { group: _, ...filter }: DevicesFilter = {}): string {
  const query = filterQuery(filter);
  return `/ui/groups/${encodeURIComponent(name)}${query === "" ? "" : `?${query}`}`;
}

/** Two revisions, of which the page shows what differs. */
export type Compared = Readonly<{ from: bigint; to: bigint }>;

export function appAddress(name: string, compared?: Compared): string {
  return `/ui/apps/${encodeURIComponent(name)}${compared === undefined ? "" : `?from=${compared.from}&to=${compared.to}`}`;
}

/** The two revisions in the query of an address; undefined if it does not name two. */
export function comparedOf(query: URLSearchParams): Compared | undefined {
  const [from, to] = [query.get("from") ?? "", query.get("to") ?? ""];
  return isRevision(from) && isRevision(to) ? { from: BigInt(from), to: BigInt(to) } : undefined;
}

function isRevision(text: string): boolean {
  return /^[1-9]\d{0,18}$/.test(text);
}

/** Where an entity is shown, by the word of its kind; undefined: nowhere. */
export function entityAddress(kind: string, name: string): string | undefined {
  return kind === "app" ? appAddress(name) : kind === "device_group" ? groupAddress(name) : undefined;
}
