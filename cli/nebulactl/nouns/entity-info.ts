import type { JsonObject } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Resource } from "../../../common/resources/resource.ts";
import type { Change } from "../../../gen/nebula/v1/change_pb.ts";
import { entityJson } from "../entities/entity-json.ts";
import { ageOf } from "../output/age.ts";
import { fieldsText, jsonFields, type ValueView } from "../output/render-value.ts";

/** One entity with who changed it last. @param now wall clock, milliseconds since 1970 */
export function infoText(resource: Resource, lastChange: Change | undefined, now: number): ValueView {
  const object = entityJson(resource);
  const changed = lastChange === undefined ? [] : [["last_change", `${ageOf(lastChange.at, now)} ago by ${lastChange.by}`] as const];
  return { text: fieldsText([...jsonFields(object), ...changed]), json: () => ({ ...object, ...changeJson(lastChange) }) };
}

function changeJson(change: Change | undefined): JsonObject {
  if (change === undefined) return {};
  return { last_change: { ...(change.at === undefined ? {} : { at: timestampDate(change.at).toISOString() }), by: change.by } };
}
