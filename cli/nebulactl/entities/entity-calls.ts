import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import type { CommandContext } from "../command/context.ts";
import type { Page } from "./pages.ts";

/** What calls need of the command they are made for. */
export type Call = Pick<CommandContext, "client" | "signal">;

/** What every stored entity has. */
export type Entity = Readonly<{ name: string; revision: bigint }>;

export type Written<M> = Readonly<{ entity: M; warnings: readonly string[] }>;

/** Numbers that an import has reached at least. Absent: as it comes. */
export type Minimums = Readonly<{ minRevision?: bigint; minPruneId?: bigint }>;

export type Update<M> = Readonly<{
  entity: M;
  /** As update_fields takes them. */
  paths: readonly string[];
  ifRevision?: bigint | undefined;
  redeploy?: boolean;
  minimums?: Minimums;
}>;

/** The calls for one kind of entity. Errors are ConnectErrors. */
export interface EntityCalls<M extends Entity> {
  create(call: Call, entity: M, minimums?: Minimums): Promise<Written<M>>;
  get(call: Call, name: string): Promise<{ entity: M; lastChange: Change | undefined }>;
  page(call: Call, size: number, token: string): Promise<Page<M>>;
  update(call: Call, update: Update<M>): Promise<Written<M>>;
  remove(call: Call, name: string, ifRevision: bigint | undefined): Promise<{ revision: bigint; warnings: readonly string[] }>;
}

/** The field of an answer that the API always fills. */
export function answered<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new TypeError(`the server answered without ${field}`);
  return value;
}

/** if_revision where it is given. */
export function condition(ifRevision: bigint | undefined): { ifRevision?: bigint } {
  return ifRevision === undefined ? {} : { ifRevision };
}

/** min_revision where it is given: what has no prune_id. */
export function minRevisionOf({ minRevision }: Minimums): { minRevision?: bigint } {
  return minRevision === undefined ? {} : { minRevision };
}
