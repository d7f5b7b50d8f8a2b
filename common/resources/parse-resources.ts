import type { DescMessage } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { nearestName, quote } from "../text/wording.ts";
import { validateApp } from "../validation/app.ts";
import { validateCronJob } from "../validation/cron-job.ts";
import { validateDeviceGroup } from "../validation/device-group.ts";
import { OUTPUT_ONLY } from "../validation/normal-form.ts";
import { validateUserGroup } from "../validation/user-group.ts";
import { type LineFault, type ReadMessage, readMessage } from "./read-message.ts";
import { entityOf, type Resource, type ResourceKind } from "./resource.ts";
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

const KINDS: readonly ResourceKind[] = ["app", "cron_job", "device_group", "user_group"];
/** Words that a document may start with by mistake. */
const USERS: readonly string[] = ["user", "users"];

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
  const wrong = (line: number, field: string, description: string) => ({
    line,
    title: "",
    resource: undefined,
    faults: [{ line, field, description }],
  });
  if (node.kind !== "map") return wrong(node.line, "", "is not a map of fields; start a resource with kind: app");
  const foreign = foreignFormat(node);
  if (foreign !== undefined) return wrong(node.line, "", `invalid resource file: it is ${foreign}; use kind: app, as in examples/shop.yaml`);
  const kindEntry = node.entries.find(({ key }) => key === "kind");
  const name = node.entries.find(({ key }) => key === "name")?.value;
  if (kindEntry === undefined) return wrong(node.line, "kind", `is missing; use ${KINDS.join(", ")}`);
  const word = kindEntry.value.kind === "scalar" ? kindEntry.value.text : "";
  const kind = KINDS.find((known) => known === word.toLowerCase().replaceAll("-", "_"));
  if (kind === undefined) return wrong(kindEntry.line, "kind", noKind(word));
  const title = name?.kind === "scalar" ? `${kind} ${name.text}` : kind;
  const fields = node.entries.filter((entry) => entry !== kindEntry);
  const refused = new Map(OUTPUT_ONLY[kind].map((field) => [field, "is set by the server; leave it out"]));
  const { line } = kindEntry;
  switch (kind) {
    case "app": {
      const read = readMessage(AppSchema, fields, refused);
      return { line, title, resource: { kind, app: read.message }, faults: faultsOf(read, () => validateApp(read.message), line) };
    }
    case "cron_job": {
      const read = readMessage(CronJobSchema, fields, refused);
      return { line, title, resource: { kind, cronJob: read.message }, faults: faultsOf(read, () => validateCronJob(read.message), line) };
    }
    case "device_group": {
      const read = readMessage(DeviceGroupSchema, fields, refused);
      return { line, title, resource: { kind, deviceGroup: read.message }, faults: faultsOf(read, () => validateDeviceGroup(read.message), line) };
    }
    case "user_group": {
      const read = readMessage(UserGroupSchema, fields, refused);
      return { line, title, resource: { kind, userGroup: read.message }, faults: faultsOf(read, () => validateUserGroup(read.message), line) };
    }
    default:
      return assertNever(kind);
  }
}

/** What a document is that another tool reads; undefined: it may be a resource. */
function foreignFormat({ entries }: YamlNode & { kind: "map" }): string | undefined {
  const has = (key: string) => entries.some((entry) => entry.key === key);
  if (has("apiVersion") && has("kind")) return "a Kubernetes manifest";
  return has("services") && !has("kind") ? "a compose file" : undefined;
}

function noKind(word: string): string {
  if (USERS.includes(word.toLowerCase())) {
    return `invalid kind ${quote(word)}: a file must not hold passwords and tokens; use nebulactl users create, or user_group`;
  }
  return `invalid kind ${quote(word)}; use ${nearestName(word, KINDS) ?? KINDS.join(", ")}`;
}

/** What is wrong with the shape, else what is wrong with the values: a field that could not be read would be called missing, too. */
function faultsOf({ faults, lines }: ReadMessage<DescMessage>, validate: () => Violation[], documentLine: number): readonly LineFault[] {
  if (faults.length > 0) return faults;
  return validate().map(({ field, description }) => ({ line: lineOf(field, lines) ?? documentLine, field, description }));
}

/** The line of the field, else of what it is in: of starting_ports[1].host_port, starting_ports[1], starting_ports. */
function lineOf(path: string, lines: ReadonlyMap<string, number>): number | undefined {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(at.lastIndexOf("."), at.lastIndexOf("["), 0))) {
    const line = lines.get(at);
    if (line !== undefined) return line;
  }
  return undefined;
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
