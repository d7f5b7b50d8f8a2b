/** An app as the texts of a form, and the way back. Fields that the form does not show stay as they are. Pure. */
import { create } from "@bufbuild/protobuf";
import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { resourceFields } from "../../../../common/resources/resource-fields.ts";
import { isDisplay } from "../../../../common/secrets/sealed-text.ts";
import { entryPath } from "../../../../common/text/wording.ts";
import { validateKey } from "../../../../common/validation/names.ts";
import { normaliseApp } from "../../../../common/validation/normal-form.ts";
import { type App, AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { FORM_FIELDS, type FormField, type Texts } from "./form-fields.ts";

/** An environment variable, as it is typed. The value of a secret is what reads show of it, until another one is typed. */
export type Variable = Readonly<{
  name: string;
  value: string;
  isSecret: boolean;
  /** The text that reads showed of a secret that was made plain. */
  display?: string;
}>;

/** The texts in a form. Fields whose value has no text are not in `texts`. */
export type AppForm = Readonly<{ texts: Texts; variables: readonly Variable[] }>;

export type ReadForm = Readonly<{ app: App; violations: readonly Violation[] }>;

export function formOf(app: App): AppForm {
  const normal = normaliseApp(app);
  const texts = FORM_FIELDS.flatMap(({ name, textOf }): [string, string][] => {
    const text = textOf(normal);
    return text === undefined ? [] : [[name, text]];
  });
  const rows = (values: Readonly<Record<string, string>>, isSecret: boolean) =>
    Object.entries(values)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => ({ name, value, isSecret }));
  return { texts: { name: app.name, ...Object.fromEntries(texts) }, variables: [...rows(app.envVars, false), ...rows(app.secretEnvVars, true)] };
}

/** The app that a form describes. @param base has the fields that the form does not show */
export function readForm({ texts, variables }: AppForm, base: App): ReadForm {
  const app = normaliseApp(base);
  app.name = texts.name?.trim() ?? base.name;
  const written = shownFields(texts).flatMap(({ name, write }) => write(app, texts[name] ?? "", texts));
  return { app, violations: [...written, ...writeVariables(app, variables)] };
}

/** The fields that a form with these texts has. */
export function shownFields(texts: Texts): readonly FormField[] {
  return FORM_FIELDS.filter(({ name, counts }) => Object.hasOwn(texts, name) && counts?.(texts) !== false);
}

/** The names of the fields of an app that are not at their default. */
export function setFields(app: App): readonly string[] {
  return [...resourceFields({ kind: "app", app }).keys()];
}

/** Those of them that a form with these texts does not show. */
export function hiddenFields(set: readonly string[], texts: Texts): readonly string[] {
  const shown = new Set(["kind", "name", "env_vars", "secret_env_vars", ...shownFields(texts).map(({ name }) => name)]);
  return set.filter((name) => !shown.has(name));
}

/** The variable with another kind. A secret whose value is not known has none as a plain one, and has it again where it is made secret again before a value is typed. */
export function withSecrecy(variable: Variable, isSecret: boolean): Variable {
  const { value, display = "" } = variable;
  if (isSecret) return { ...variable, isSecret, value: value === "" ? display : value };
  return isDisplay(value) ? { ...variable, isSecret, value: "", display: value } : { ...variable, isSecret };
}

/** The path of a variable in a resource file. */
export function variablePath({ name, isSecret }: Variable): string {
  const field = isSecret ? "secret_env_vars" : "env_vars";
  return name === "" ? field : entryPath(field, name);
}

/** Sets the variables; rows in which nothing is typed are left out. No value is in a violation. */
function writeVariables(app: App, variables: readonly Variable[]): readonly Violation[] {
  const typed = variables.filter(({ name, value }) => name !== "" || value !== "");
  const of = (isSecret: boolean) =>
    Object.fromEntries(typed.filter((variable) => variable.isSecret === isSecret).map(({ name, value }) => [name, value]));
  app.envVars = of(false);
  app.secretEnvVars = of(true);
  const seen = new Set<string>();
  return typed.flatMap((variable): readonly Violation[] => {
    const { name } = variable;
    const field = variablePath(variable);
    if (name === "") return [{ field, description: "has a value without a name; give it one" }];
    if (seen.has(field)) return [{ field, description: "is there twice; once is enough" }];
    seen.add(field);
    return validateKey(name, field);
  });
}

/** An app that nobody described yet. */
export function emptyApp(name: string): App {
  return normaliseApp(create(AppSchema, { name }));
}
