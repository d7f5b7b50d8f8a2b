import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

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

/** The key of a map, in the field of that path. What is stored under such a key stays readable. */
export function validateKey(key: string, field: string): Violation[] {
  if (key !== PROTOTYPE) return [];
  return [{ field, description: `invalid name ${quote(key)}: clients in JavaScript lose it; use another name` }];
}
