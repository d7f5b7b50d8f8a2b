/** Takes over what others changed while a draft was written. Pure. */
import { create, type DescField, equals } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { entryPath } from "../../../../common/text/wording.ts";
import { normaliseApp, OUTPUT_ONLY } from "../../../../common/validation/normal-form.ts";
import { type App, AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";

/** An app with the changes of two who began with the same. */
export type TakenOver = Readonly<{
  app: App;
  /** The fields, and entries of maps, that both changed, each otherwise: those of the draft are kept. */
  kept: readonly string[];
}>;

type MapField = DescField & { fieldKind: "map" };
/** An app as it was read, as the draft has it, as it is now, and the result. */
type Versions = Readonly<Record<"was" | "mine" | "now" | "result", ReflectMessage>>;

/**
 * The draft with what changed meanwhile: each field, and each entry of a map, that the draft leaves as it was read is as it is now.
 * @param read the app that the draft began with
 */
export function takeOver(read: App, draft: App, newest: App): TakenOver {
  const app = normaliseApp(draft);
  const [was, mine, now] = [read, draft, newest].map((one) => reflect(AppSchema, normaliseApp(one)));
  if (was === undefined || mine === undefined || now === undefined) return { app, kept: [] };
  const versions = { was, mine, now, result: reflect(AppSchema, app) };
  const fields = AppSchema.fields.filter(({ name }) => !OUTPUT_ONLY.app.includes(name));
  const kept = fields.flatMap((field) => (field.fieldKind === "map" ? takeEntries(versions, field) : takeField(versions, field)));
  return { app, kept };
}

function takeField({ was, mine, now, result }: Versions, field: DescField): string[] {
  if (isSame(was, mine, field)) {
    if (now.isSet(field)) result.set(field, now.get(field));
    else result.clear(field);
    return [];
  }
  return isSame(was, now, field) || isSame(mine, now, field) ? [] : [field.name];
}

function takeEntries({ was, mine, now, result }: Versions, field: MapField): string[] {
  const [before, own, newest, entries] = [was.get(field), mine.get(field), now.get(field), result.get(field)];
  const keys = new Set([...before.keys(), ...own.keys(), ...newest.keys()]);
  return [...keys].flatMap((key) => {
    if (before.get(key) !== own.get(key)) {
      return before.get(key) === newest.get(key) || own.get(key) === newest.get(key) ? [] : [entryPath(field.name, String(key))];
    }
    const value = newest.get(key);
    if (value === undefined) entries.delete(key);
    else entries.set(key, value);
    return [];
  });
}

function isSame(a: ReflectMessage, b: ReflectMessage, field: DescField): boolean {
  return equals(AppSchema, only(a, field), only(b, field));
}

/** An app of this field alone. */
function only(message: ReflectMessage, field: DescField): App {
  const app = create(AppSchema);
  if (message.isSet(field)) reflect(AppSchema, app).set(field, message.get(field));
  return app;
}
