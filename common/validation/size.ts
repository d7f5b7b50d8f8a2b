import { clone, type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Violation } from "../errors/nebula-error.ts";
import { OUTPUT_ONLY } from "./output-only.ts";

/** The most that an app or a cron_job may take, encoded in normal form without what the server sets, bytes. */
const LARGEST_ENTITY = 64 * 1024;

/** The size of an app or a cron_job in normal form: what is within it once stays so, whatever its revision. */
export function validateSize<Desc extends DescMessage>(kind: "app" | "cron_job", schema: Desc, normal: MessageShape<Desc>): Violation[] {
  const written = clone(schema, normal);
  for (const field of schema.fields) if (OUTPUT_ONLY[kind].includes(field.name)) reflect(schema, written).clear(field);
  const bytes = toBinary(schema, written).byteLength;
  if (bytes <= LARGEST_ENTITY) return [];
  return [{ field: kind, description: `is ${bytes} bytes encoded; at most ${LARGEST_ENTITY} would do: put large values into a volume or the image` }];
}
