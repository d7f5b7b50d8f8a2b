import { assertNever } from "../errors/assert-never.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateApp } from "../validation/app.ts";
import { validateCronJob } from "../validation/cron-job.ts";
import { validateDeviceGroup } from "../validation/device-group.ts";
import { validateUserGroup } from "../validation/user-group.ts";
import type { LineFault } from "./read-message.ts";
import { lineOf, readResource } from "./read-resource.ts";
import { entityOf, type Resource } from "./resource.ts";
import { readYaml, type YamlNode } from "./yaml-tree.ts";

/** One thing that is wrong with a resource file. */
export type ResourceViolation = Violation &
  Readonly<{
    file: string;
    /** From 1. */
    line: number;
    /** `app web`; empty where the document does not say so much. */
    resource: string;
  }>;

export type ParsedResources = Readonly<
  { kind: "resources"; resources: readonly Resource[] } | { kind: "invalid"; violations: readonly ResourceViolation[] }
>;

export type ResourceFile = Readonly<{ name: string; text: string }>;

/** Reads one resource file: YAML (or JSON), one document for each resource. Everything that is wrong is answered at once, each with its line. */
export function parseResources(text: string, fileName: string): ParsedResources {
  return parseResourceFiles([{ name: fileName, text }]);
}

/** Reads several resource files, in which each resource may be only once. */
export function parseResourceFiles(files: readonly ResourceFile[]): ParsedResources {
  const read = files.map(readFile);
  const documents = read.flatMap(({ documents }) => documents);
  const violations = [...read.flatMap(({ violations }) => violations), ...duplicates(documents)];
  if (violations.length > 0) return { kind: "invalid", violations };
  return { kind: "resources", resources: documents.flatMap(({ resource }) => (resource === undefined ? [] : [resource])) };
}

/** `shop.yaml:12: app web: docker_image: is missing; ...` */
export function resourceViolationLine({ file, line, resource, field, description }: ResourceViolation): string {
  return [`${file}:${line}`, resource, field, description].filter((part) => part !== "").join(": ");
}

type ReadDocument = Readonly<{ file: string; line: number; title: string; resource: Resource | undefined; faults: readonly LineFault[] }>;

function readFile({ name: file, text }: ResourceFile): { documents: readonly ReadDocument[]; violations: readonly ResourceViolation[] } {
  const yaml = readYaml(text);
  if (yaml.kind === "invalid") {
    return { documents: [], violations: yaml.faults.map(({ line, description }) => ({ file, line, resource: "", field: "", description })) };
  }
  if (yaml.documents.length === 0) {
    return {
      documents: [],
      violations: [{ file, line: 1, resource: "", field: "", description: "holds no resource; a document starts with kind: app" }],
    };
  }
  const documents = yaml.documents.map((document): ReadDocument => ({ file, ...readDocument(document) }));
  const violations = documents.flatMap(({ title, faults }) => faults.map((fault) => ({ file, resource: title, ...fault })));
  return { documents, violations };
}

function readDocument(node: YamlNode): Omit<ReadDocument, "file"> {
  const { line, title, resource, faults, lines } = readResource(node);
  // a field that could not be read would be called missing, too
  if (resource === undefined || faults.length > 0) return { line, title, resource, faults };
  const violations = violationsOf(resource);
  return {
    ...{ line, title, resource },
    faults: violations.map(({ field, description }) => ({ line: lineOf(field, lines) ?? line, field, description })),
  };
}

function violationsOf(resource: Resource): readonly Violation[] {
  switch (resource.kind) {
    case "app":
      return validateApp(resource.app);
    case "cron_job":
      return validateCronJob(resource.cronJob);
    case "device_group":
      return validateDeviceGroup(resource.deviceGroup);
    case "user_group":
      return validateUserGroup(resource.userGroup);
    default:
      return assertNever(resource);
  }
}

function duplicates(documents: readonly ReadDocument[]): ResourceViolation[] {
  const first = new Map<string, ReadDocument>();
  return documents.flatMap((document) => {
    if (document.resource === undefined || entityOf(document.resource).name === "") return [];
    const before = first.get(document.title);
    first.set(document.title, before ?? document);
    if (before === undefined) return [];
    const { file, line, title } = document;
    return [{ file, line, resource: title, field: "name", description: `is in ${before.file}:${before.line} already; once is enough` }];
  });
}
