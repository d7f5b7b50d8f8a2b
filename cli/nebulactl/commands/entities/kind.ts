import type { Violation } from "../../../../common/errors/nebula-error.ts";
import type { Resource, ResourceKind } from "../../../../common/resources/resource.ts";
import type { Change } from "../../../../gen/nebula/v1/change_pb.ts";
import type { CommandContext } from "../../command/context.ts";
import type { Page } from "../lists/pages.ts";

/** The parts of a command context that calls need. */
export type Call = Pick<CommandContext, "client" | "signal">;

/** The fields of every stored entity. */
export type Entity = Readonly<{ name: string; revision: bigint }>;

export type Written<M> = Readonly<{ entity: M; warnings: readonly string[] }>;

/** The least revision and prune_id that an import sets. Absent if there are none. */
export type Minimums = Readonly<{ minRevision?: bigint; minPruneId?: bigint }>;

export type Update<M> = Readonly<{
  entity: M;
  /** The paths of update_fields. */
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

/** Narrows a field of an answer that the API always sets. */
export function answered<T>(value: T | undefined, field: string): T {
  if (value === undefined) throw new TypeError(`the answer of the server has no ${field}`);
  return value;
}

/** The field if_revision of a request, if it is given. */
export function condition(ifRevision: bigint | undefined): { ifRevision?: bigint } {
  return ifRevision === undefined ? {} : { ifRevision };
}

/** The field min_revision of a request, if it is given; for kinds without a prune_id. */
export function minRevisionOf({ minRevision }: Minimums): { minRevision?: bigint } {
  return minRevision === undefined ? {} : { minRevision };
}

/** Everything that the commands need of one kind of entity, besides its flags and columns. */
export type Kind<M extends Entity> = Readonly<{
  kind: ResourceKind;
  calls: EntityCalls<M>;
  /** Makes an entity of that name with these fields; the others have their defaults. */
  make(name: string, fields: Partial<M>): M;
  /** Validates an entity. Loads the rules when it is called, since lists do not need them. */
  validate(entity: M): Promise<Violation[]>;
  toResource(entity: M): Resource;
}>;
