import type { DescMessage } from "@bufbuild/protobuf";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";
import { assertNever } from "../errors/assert-never.ts";
import { nearestName, quote } from "../text/wording.ts";
import { OUTPUT_ONLY } from "../validation/normal-form.ts";
import { type LineFault, type ReadMessage, readMessage } from "./read-message.ts";
import type { Resource, ResourceKind } from "./resource.ts";
import type { YamlNode } from "./yaml-tree.ts";

/** A document of a resource file, read; its values are not checked yet. */
export type ReadResource = Readonly<{
  /** Of its kind, from 1. */
  line: number;
  /** `app web`; empty where the document does not say so much. */
  title: string;
  /** Undefined: the document is not one. A resource with faults is incomplete. */
  resource: Resource | undefined;
  /** The faults of its shape. */
  faults: readonly LineFault[];
  /** The line of each field and entry by its path, from 1. */
  lines: ReadonlyMap<string, number>;
}>;

const KINDS: readonly ResourceKind[] = ["app", "cron_job", "device_group", "user_group"];
/** Words that a document may start with by mistake. */
const USERS: readonly string[] = ["user", "users"];

/** Reads a document of a resource file. Everything that is wrong with its shape is answered at once, each with its line. */
export function readResource(node: YamlNode): ReadResource {
  const wrong = (line: number, field: string, description: string) => ({
    line,
    title: "",
    resource: undefined,
    faults: [{ line, field, description }],
    lines: new Map<string, number>(),
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
  const readAs = (read: ReadMessage<DescMessage>, resource: Resource) => ({ line, title, resource, faults: read.faults, lines: read.lines });
  switch (kind) {
    case "app": {
      const read = readMessage(AppSchema, fields, refused);
      return readAs(read, { kind, app: read.message });
    }
    case "cron_job": {
      const read = readMessage(CronJobSchema, fields, refused);
      return readAs(read, { kind, cronJob: read.message });
    }
    case "device_group": {
      const read = readMessage(DeviceGroupSchema, fields, refused);
      return readAs(read, { kind, deviceGroup: read.message });
    }
    case "user_group": {
      const read = readMessage(UserGroupSchema, fields, refused);
      return readAs(read, { kind, userGroup: read.message });
    }
    default:
      return assertNever(kind);
  }
}

/** Returns the kind of a document that another tool reads; undefined: it may be a resource. */
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

/** The line of the field, else of what it is in: of starting_ports[1].host_port, starting_ports[1], starting_ports. */
export function lineOf(path: string, lines: ReadonlyMap<string, number>): number | undefined {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(at.lastIndexOf("."), at.lastIndexOf("["), 0))) {
    const line = lines.get(at);
    if (line !== undefined) return line;
  }
  return undefined;
}
