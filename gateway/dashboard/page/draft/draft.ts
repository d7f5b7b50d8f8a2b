/** The draft of an app: what is typed, as a form or as YAML, two views of one thing. Pure. */
import { equals } from "@bufbuild/protobuf";
import { assertNever } from "../../../../common/errors/assert-never.ts";
import type { Violation } from "../../../../common/errors/nebula-error.ts";
import { printResource } from "../../../../common/resources/print-resource.ts";
import { lineOf, readResource } from "../../../../common/resources/read-resource.ts";
import { readYaml } from "../../../../common/resources/yaml-tree.ts";
import { quote } from "../../../../common/text/wording.ts";
import { normaliseApp } from "../../../../common/validation/normal-form.ts";
import { type App, AppSchema } from "../../../../gen/nebula/v1/app_pb.ts";
import { type AppForm, formOf, readForm } from "./app-form.ts";

export type Draft = Readonly<
  /** `base` has what the form does not show; `yaml` is the text that it was read from, which holds while nothing in the form differs. */
  { view: "form"; form: AppForm; base: App; yaml: string | undefined } | { view: "yaml"; text: string }
>;

export type DraftView = Draft["view"];

/** Something that is wrong with a draft; `line` of its YAML. */
export type DraftFault = Violation & Readonly<{ line: number | undefined }>;

/** The app that a draft describes, without output-only fields; or its faults. */
export type ReadDraft = Readonly<{ kind: "app"; app: App; lines: ReadonlyMap<string, number> } | { kind: "invalid"; faults: readonly DraftFault[] }>;

export function draftOf(app: App, view: DraftView): Draft {
  return view === "form" ? formDraft(app, undefined) : { view, text: yamlOf(app) };
}

function formDraft(app: App, yaml: string | undefined): Draft {
  return { view: "form", form: formOf(app), base: app, yaml };
}

/** An app as `nebulactl get app/NAME -o yaml` prints it. */
export function yamlOf(app: App): string {
  return printResource({ kind: "app", app });
}

/** Reads a draft. @param name that it has to have; undefined: any */
export function readDraft(draft: Draft, name: string | undefined): ReadDraft {
  const read = readAny(draft);
  if (read.kind === "invalid" || name === undefined || read.app.name === name) return read;
  const description = `is ${quote(read.app.name)}; this page is about ${quote(name)}: leave it, or create another app`;
  return { kind: "invalid", faults: [{ field: "name", description, line: read.lines.get("name") }] };
}

function readAny(draft: Draft): ReadDraft {
  switch (draft.view) {
    case "form": {
      const { app, violations } = readForm(draft.form, draft.base);
      if (violations.length > 0) return { kind: "invalid", faults: violations.map((violation) => ({ ...violation, line: undefined })) };
      return { kind: "app", app: withoutOutput(app), lines: new Map() };
    }
    case "yaml":
      return readText(draft.text);
    default:
      return assertNever(draft);
  }
}

function readText(text: string): ReadDraft {
  const invalid = (line: number, field: string, description: string): ReadDraft => ({ kind: "invalid", faults: [{ line, field, description }] });
  const yaml = readYaml(text);
  if (yaml.kind === "invalid") return { kind: "invalid", faults: yaml.faults.map((fault) => ({ ...fault, field: "" })) };
  const [document, second] = yaml.documents;
  if (document === undefined) return invalid(1, "", "there is no app in it; start with kind: app");
  if (second !== undefined) return invalid(second.line, "", "a second document begins here; an app is one");
  const { resource, faults, lines, line } = readResource(document);
  if (faults.length > 0) return { kind: "invalid", faults };
  if (resource?.kind !== "app") return invalid(line, "kind", `is ${resource?.kind ?? "missing"}; use app`);
  return { kind: "app", app: normaliseApp(resource.app), lines };
}

/** The same draft in the other view, undefined if it cannot be read and so stays where it is. */
export function inView(draft: Draft, view: DraftView): Draft | undefined {
  if (draft.view === view) return draft;
  const read = readAny(draft);
  if (read.kind === "invalid") return undefined;
  if (draft.view === "yaml") return formDraft(read.app, draft.text);
  const isSame = draft.yaml !== undefined && sameApp(read.app, draft.base);
  return { view: "yaml", text: isSame ? (draft.yaml ?? "") : yamlOf(read.app) };
}

/** Whether two apps are the same but for what only the server sets. */
export function sameApp(a: App, b: App): boolean {
  return equals(AppSchema, withoutOutput(a), withoutOutput(b));
}

function withoutOutput(app: App): App {
  return Object.assign(normaliseApp(app), { revision: 0n, restartCount: 0n });
}

/** The faults with their lines, where the draft is a text. @param lines of a draft that was read */
export function withLines(violations: readonly Violation[], lines: ReadonlyMap<string, number>): readonly DraftFault[] {
  return violations.map((violation) => ({ ...violation, line: lineOf(violation.field, lines) }));
}

/** The faults that are about a field, or about part of it, and about none of the other fields. @param names of all fields */
export function faultsOf(faults: readonly DraftFault[], name: string, names: readonly string[]): readonly DraftFault[] {
  return faults.filter(({ field }) => {
    const about = names.filter((one) => field === one || field.startsWith(`${one}.`) || field.startsWith(`${one}[`));
    return about.toSorted((a, b) => b.length - a.length)[0] === name;
  });
}

/** `line 7: docker_image: is missing; ...` */
export function faultText({ line, field, description }: DraftFault): string {
  return [line === undefined ? "" : `line ${line}`, field, description].filter((part) => part !== "").join(": ");
}
