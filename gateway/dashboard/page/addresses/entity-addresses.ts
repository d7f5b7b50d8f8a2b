/** The addresses of one device, device_group, app, change, user and user_group, which stay. Names are those of the API. Pure. */
import { ENTITY_KINDS, type EntityKind } from "../../../../common/storage/config-store.ts";
import { type DevicesFilter, filterQuery } from "./devices-filter.ts";

export type ChangeName = Readonly<{ kind: EntityKind; name: string; revision: bigint }>;

/** Of 64 bits. */
const LARGEST_REVISION = 2n ** 64n - 1n;

export const DEVICE_PATH = "/ui/devices/:id";
export const CHANGE_PATH = "/ui/changes/:kind/:name/:revision";

export function deviceAddress(deviceId: string): string {
  return DEVICE_PATH.replace(":id", () => encodeURIComponent(deviceId));
}

export function changeAddress({ kind, name, revision }: ChangeName): string {
  return ["/ui/changes", kind, encodeURIComponent(name), revision].join("/");
}

/** The kind of entities that have changes, by its word; undefined if it is another one. */
export function changedKindOf(word: string | undefined): EntityKind | undefined {
  return ENTITY_KINDS.find((kind) => kind === word);
}

/** The change that an address names; undefined if it names none. */
export function changeNameOf(params: Readonly<Record<string, string>>): ChangeName | undefined {
  const { kind: word, name = "", revision = "" } = params;
  const kind = changedKindOf(word);
  const number = revisionOf(revision);
  return kind === undefined || name === "" || number === undefined ? undefined : { kind, name, revision: number };
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

export const APPS_PATH = "/ui/apps";
export const APP_EDIT_PATH = "/ui/apps/:name/edit";
/** Not below /ui/apps/, where an app of any name may be. */
export const APP_CREATE_PATH = "/ui/create/app";

export function appEditAddress(name: string): string {
  return APP_EDIT_PATH.replace(":name", () => encodeURIComponent(name));
}

/** Where an app is created. @param name that it begins with */
export function appCreateAddress(name = ""): string {
  return name === "" ? APP_CREATE_PATH : `${APP_CREATE_PATH}?name=${encodeURIComponent(name)}`;
}

/** The two revisions in the query of an address; undefined if it does not name two. */
export function comparedOf(query: URLSearchParams): Compared | undefined {
  const [from, to] = [revisionOf(query.get("from") ?? ""), revisionOf(query.get("to") ?? "")];
  return from === undefined || to === undefined ? undefined : { from, to };
}

/** The revision that a text names; undefined if it is not one. */
export function revisionOf(text: string): bigint | undefined {
  if (!/^[1-9]\d{0,19}$/.test(text)) return undefined;
  const revision = BigInt(text);
  return revision > LARGEST_REVISION ? undefined : revision;
}

export function userAddress(name: string): string {
  return `/ui/users/${encodeURIComponent(name)}`;
}

export function userGroupAddress(name: string): string {
  return `/ui/user-groups/${encodeURIComponent(name)}`;
}

const ADDRESSES: ReadonlyMap<string, (name: string) => string> = new Map([
  ["app", (name: string) => appAddress(name)],
  ["device_group", (name: string) => groupAddress(name)],
  ["device", deviceAddress],
  ["user", userAddress],
  ["user_group", userGroupAddress],
]);

/** Where an entity is shown, by the word of its kind; undefined if nowhere. */
export function entityAddress(kind: string, name: string): string | undefined {
  return ADDRESSES.get(kind)?.(name);
}
