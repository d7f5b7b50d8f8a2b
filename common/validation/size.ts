import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors/nebula-error.ts";
import { looksSealed, sealedLength } from "../secrets/sealed-text.ts";
import { OUTPUT_ONLY } from "./output-only.ts";

/** The most that an app or a cron_job may take, encoded in normal form as it is stored, but without what the server sets, bytes. */
const LARGEST_ENTITY = 64 * 1024;

/**
 * The size of an app or a cron_job in normal form: what is within it once stays so, whatever its revision. Secret values count as long as they are stored.
 * @param normalise brings the entity into its normal form
 */
export function validateSize<Desc extends DescMessage>(
  kind: "app" | "cron_job",
  schema: Desc,
  entity: MessageShape<Desc>,
  normalise: (entity: MessageShape<Desc>) => MessageShape<Desc>,
): Violation[] {
  const bytes = encodedSize(kind, schema, entity, normalise);
  if (bytes === undefined || bytes <= LARGEST_ENTITY) return [];
  return [{ field: kind, description: `is ${bytes} bytes encoded; at most ${LARGEST_ENTITY} would do: put large values into a volume or the image` }];
}

/** Bytes; undefined: what can't be encoded, for a text that is no UTF-8, has no size. validateShape says what is wrong with it. */
function encodedSize<Desc extends DescMessage>(...[kind, schema, entity, normalise]: Parameters<typeof validateSize<Desc>>): number | undefined {
  try {
    const written = normalise(entity);
    const fields = reflect(schema, written);
    for (const field of schema.fields) if (OUTPUT_ONLY[kind].includes(field.name)) fields.clear(field);
    lengthenSecrets(fields);
    return toBinary(schema, written).byteLength;
  } catch {
    return undefined;
  }
}

/** Puts texts as long as the sealed ones in place of values. */
function lengthenSecrets(message: ReflectMessage): void {
  const field = message.fields.find(({ name }) => name === "secret_env_vars");
  if (field?.fieldKind !== "map") return;
  const secrets = message.get(field);
  for (const [variable, value] of secrets) {
    if (typeof value === "string" && !looksSealed(value)) secrets.set(variable, "x".repeat(sealedLength(value)));
  }
}
