import type { Cell } from "../../../../common/text/cell.ts";
import type { Command } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import type { Field } from "../../fields/field.ts";
import type { FindUse } from "./confirm-delete.ts";
import type { Entity, Kind } from "./kind.ts";

/** The differences between the commands of one kind of entity and those of another. */
export type EntityNoun<M extends Entity> = Readonly<{
  kind: Kind<M>;
  /** `apps`; the singular is the kind. */
  name: string;
  aliases: readonly string[];
  summary: string;
  /** A name for the examples of help. */
  exampleName: string;
  /** The flag that takes the name. */
  nameFlag: TextFlag;
  header: readonly string[];
  row(entity: M): readonly Cell[];
  /** Loads what only create, update and delete need. */
  changes(): Promise<EntityChanges<M>>;
  moreVerbs: readonly Command[];
}>;

/** The parts of one kind of entity that only commands that change it need. */
export type EntityChanges<M extends Entity> = Readonly<{
  /** Flags that create needs besides the name. */
  requiredAtCreate: readonly TextFlag[];
  /** Whether an update may change no field and only raise the revision: --redeploy. */
  redeploys: boolean;
  fieldsOfCreate: readonly Field<M>[];
  fieldsOfUpdate: readonly Field<M>[];
  examples: Readonly<{ create: readonly string[]; update: readonly string[] }>;
  /** Finds the users of an entity of this kind. */
  findUse: FindUse;
}>;

/** The name, by position or by its flag. */
export function argumentOf<M extends Entity>({ nameFlag }: EntityNoun<M>) {
  return { label: nameFlag.placeholder, flag: nameFlag };
}
