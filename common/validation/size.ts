import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Violation } from "../errors/nebula-error.ts";

/** The most that an app or a cron_job may take, encoded, bytes. */
const LARGEST_ENTITY = 64 * 1024;

/** The size of an app or a cron_job. `field` names it whole: app, cron_job. */
export function validateSize<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>, field: string): Violation[] {
  const bytes = toBinary(schema, message).byteLength;
  if (bytes <= LARGEST_ENTITY) return [];
  return [{ field, description: `is ${bytes} bytes encoded; at most ${LARGEST_ENTITY} would do: put large values into a volume or the image` }];
}
