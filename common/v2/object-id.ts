import { hash } from "node:crypto";

/** The `_id` in v2's answers: 24 hexadecimal digits. */
export type V2ObjectId = { $oid: string };

/** The `_id` of an entity: always the same for its kind and name. */
export function objectIdOf(kind: string, name: string): V2ObjectId {
  return { $oid: hash("sha256", `${kind} ${name}`, "hex").slice(0, 24) };
}
