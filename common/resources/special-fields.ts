import type { DescField } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ContainersPerSchema, StartingPortSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { containersPerFromV2 } from "../v2/containers-per.ts";
import { startingPortsFromV2 } from "../v2/starting-ports.ts";
import { plainValue, type YamlNode } from "./yaml-tree.ts";

/** Reads a field into the message; answers what was wrong. */
export type SpecialReader = (message: ReflectMessage, field: DescField, node: YamlNode) => readonly Violation[];

/** How a field is read that resource files write in v2's shape; undefined: like every field of its type. */
export function reader(field: DescField): SpecialReader | undefined {
  if (field.fieldKind === "list" && field.message === StartingPortSchema) return readStartingPorts;
  return field.fieldKind === "message" && field.message === ContainersPerSchema ? readContainersPer : undefined;
}

function readStartingPorts(message: ReflectMessage, field: DescField, node: YamlNode): readonly Violation[] {
  const read = startingPortsFromV2(plainValue(node));
  if (read.kind !== "ports") return read.violations;
  if (field.fieldKind === "list") for (const port of read.ports) message.get(field).add(reflect(StartingPortSchema, port));
  return [];
}

function readContainersPer(message: ReflectMessage, field: DescField, node: YamlNode): readonly Violation[] {
  const read = containersPerFromV2(plainValue(node));
  if (read.kind === "invalid") return read.violations;
  message.set(field, reflect(ContainersPerSchema, read.containersPer));
  return [];
}
