import { NebulaError } from "../../../errors/nebula-error.ts";
import {
  CHANGE_ACTIONS,
  type ChangeAction,
  ENTITY_KINDS,
  type EntityKey,
  type EntityKind,
  type GroupMembers,
  type StoredEntity,
} from "../../config-store.ts";

/** An entity as one cell holds it: with its revision, and with the members of a device_group. */
export type EntityState = Readonly<{ entity: StoredEntity; members: GroupMembers }>;

/** The first byte of the cell: a later version may have another layout. */
const LAYOUT = 1;
/** One byte of layout, and the lengths of the two parts before the body. */
const PREFIX_BYTES = 9;

export const NO_MEMBERS: GroupMembers = { apps: [], cronJobs: [] };

/** Encodes a state: its fields as JSON, its members as JSON, then the body as it is. */
export function encodeState({ entity, members }: EntityState): Uint8Array {
  const { revision, deleted, action, changedAt, changedBy, body } = entity;
  const fields = Buffer.from(JSON.stringify({ revision: String(revision), deleted, action, changedAt, changedBy }));
  const names = Buffer.from(members.apps.length + members.cronJobs.length === 0 ? "" : JSON.stringify([members.apps, members.cronJobs]));
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt8(LAYOUT, 0);
  prefix.writeUInt32BE(fields.length, 1);
  prefix.writeUInt32BE(names.length, 5);
  return Buffer.concat([prefix, fields, names, body]);
}

/** Decodes a state of this entity. Throws `failed_precondition` for one of a newer version, or that is damaged. */
export function decodeState(key: EntityKey, cell: Uint8Array): StoredEntity {
  const { fields, body } = partsOf(key, cell);
  const parsed: unknown = JSON.parse(fields.toString());
  const { revision, deleted, action, changedAt, changedBy } = Object(parsed);
  if (typeof revision !== "string" || typeof deleted !== "boolean" || typeof changedAt !== "number" || typeof changedBy !== "string") {
    throw unreadable(key);
  }
  return { ...key, revision: BigInt(revision), deleted, body, action: actionOf(action), changedAt, changedBy };
}

/** The members of a device_group as its state names them. Throws as decodeState does. */
export function decodeMembers(key: EntityKey, cell: Uint8Array): GroupMembers {
  const { names } = partsOf(key, cell);
  if (names.length === 0) return NO_MEMBERS;
  const parsed: unknown = JSON.parse(names.toString());
  const [apps, cronJobs] = Array.isArray(parsed) ? parsed : [];
  if (!isTexts(apps) || !isTexts(cronJobs)) throw unreadable(key);
  return { apps, cronJobs };
}

export function kindOf(value: unknown): EntityKind {
  return oneOf(ENTITY_KINDS, value, "kind");
}

export function actionOf(value: unknown): ChangeAction {
  return oneOf(CHANGE_ACTIONS, value, "action");
}

function oneOf<T extends string>(known: readonly T[], value: unknown, column: string): T {
  const found = known.find((one) => one === value);
  if (found === undefined) {
    throw new NebulaError("failed_precondition", `the store holds an unknown ${column}, "${String(value)}": it is of a newer version`);
  }
  return found;
}

function partsOf(key: EntityKey, cell: Uint8Array): { fields: Buffer; names: Buffer; body: Buffer } {
  const bytes = Buffer.from(cell.buffer, cell.byteOffset, cell.byteLength);
  if (bytes.length < PREFIX_BYTES || bytes.readUInt8(0) !== LAYOUT) throw unreadable(key);
  const namesAt = PREFIX_BYTES + bytes.readUInt32BE(1);
  const bodyAt = namesAt + bytes.readUInt32BE(5);
  if (bodyAt > bytes.length) throw unreadable(key);
  return { fields: bytes.subarray(PREFIX_BYTES, namesAt), names: bytes.subarray(namesAt, bodyAt), body: bytes.subarray(bodyAt) };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function unreadable({ kind, name }: EntityKey): NebulaError {
  return new NebulaError("failed_precondition", `the state of ${kind} ${name} in the store can't be read: it is of a newer version, or damaged`);
}
