import type { JsonValue } from "@bufbuild/protobuf";
import { assertNever } from "../../../common/errors/assert-never.ts";
import { jsonText, printableLine } from "../../../common/printable.ts";
import type { Field } from "../../../common/text/cell.ts";
import type { Paint } from "./paint.ts";
import { renderFields } from "./table.ts";

/** How a command prints, as -o takes it. `wide`: a table that is not fitted to the terminal. */
export type OutputFormat = "table" | "wide" | "json" | "yaml";

/** The views of one value: text for a person, JSON for a program. */
export type ValueView = Readonly<{ text: (paint: Paint) => string; json: () => JsonValue | Promise<JsonValue> }>;

/** Renders one value in a format. */
export async function renderValue(view: ValueView, output: OutputFormat, paint: Paint): Promise<string> {
  switch (output) {
    case "json":
      return `${jsonText(await view.json(), 2)}\n`;
    case "yaml":
      return (await import("../../../common/resources/yaml-text.ts")).yamlText(await view.json());
    case "table":
    case "wide":
      return view.text(paint);
    default:
      return assertNever(output);
  }
}

/** The fields of a JSON object as text: strings as they are, lists and maps as JSON. */
export function jsonFields(object: Readonly<Record<string, JsonValue>>): Field[] {
  return Object.entries(object).map(([name, value]) => [name, typeof value === "string" ? printableLine(value) : jsonText(value)]);
}

export function fieldsText(fields: readonly Field[]): (paint: Paint) => string {
  return (paint) => renderFields(fields, paint);
}
