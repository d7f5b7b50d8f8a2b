import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "../text/wording.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

/** Whether this can be the name of an app, a cron_job or a device_group. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** The name of an entity, in the field of that path. */
export function validateName(name: string, field = "name"): Violation[] {
  if (isName(name)) return [];
  const rule = "use a letter or digit, then up to 62 of letters, digits, '_', '.', '-'";
  return [{ field, description: name === "" ? `is missing; ${rule}` : `invalid name ${quote(name)}; ${rule}` }];
}

/** The one key of maps that clients in JavaScript lose, or take for an object's prototype. */
const PROTOTYPE = "__proto__";

/** Checks the key of a map, in the field of that path. Values stored under an invalid key stay readable. */
export function validateKey(key: string, field: string): Violation[] {
  if (key !== PROTOTYPE) return [];
  return [{ field, description: `invalid name ${quote(key)}: clients in JavaScript lose it; use another name` }];
}

/** The most names in a list of members. */
export const MOST_MEMBERS = 1000;

/** Checks a list of names of other entities: each is a valid name, and listed once. Whether they exist is up to the store. */
export function validateMembers(field: string, names: readonly string[]): Violation[] {
  if (names.length > MOST_MEMBERS) return [{ field, description: `has ${names.length} names; use at most ${MOST_MEMBERS}` }];
  const seen = new Map<string, number>();
  return names.flatMap((name, index) => {
    const path = `${field}[${index}]`;
    const before = seen.get(name);
    if (before !== undefined) return [{ field: path, description: `${quote(name)} is listed in ${field}[${before}] already; name it once` }];
    seen.set(name, index);
    return validateName(name, path);
  });
}

/** Longer than other names: a host name may have 64 characters, and the worker adds seven. */
const DEVICE_ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;
const BOOT = /^[a-zA-Z0-9_-]{1,64}$/;

/** Checks a device_id. */
export function deviceIdViolations(deviceId: string, field: string): readonly Violation[] {
  if (DEVICE_ID.test(deviceId)) return [];
  return [{ field, description: `invalid device id ${quote(deviceId)}; use a letter or digit, then up to 127 of letters, digits, '_', '.', '-'` }];
}

/** Checks the id of a start of a worker. */
export function bootViolations(boot: string, field: string): readonly Violation[] {
  if (BOOT.test(boot)) return [];
  return [{ field, description: `invalid id of a boot ${quote(boot)}; use 1 to 64 letters, digits, '_', '-'` }];
}

/** Checks the id of a report; empty is valid. */
export function reportIdViolations(id: string, field: string): readonly Violation[] {
  if (id === "" || /^[0-9a-f]{24}$/i.test(id)) return [];
  return [{ field, description: `invalid id of a report ${quote(id)}; use 24 hexadecimal digits from a list of reports` }];
}
