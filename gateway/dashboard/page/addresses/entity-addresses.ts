/** The addresses of one device and of one change, which stay. Names are those of the API. Pure. */
import type { EntityKind } from "../../../../common/storage/config-store.ts";

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
