import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { containersPerFromV2 } from "../../../common/v2/containers-per.ts";
import type { ContainersPer } from "../../../gen/nebula/v1/app_pb.ts";

/** `server:1`, `cpu:0.5`, `memory:512`, and v2's other names for them. */
export function parseContainersPer(text: string, label: string): ContainersPer {
  const [kind = "", number = "", ...more] = text.split(":").map((part) => part.trim());
  const read = containersPerFromV2({ [kind]: number });
  if (read.kind === "containers_per" && more.length === 0) return read.containersPer;
  throw new NebulaError("invalid_argument", `${label} is server:N, cpu:N (per core) or memory:N (one container per N MB), not "${text}"`);
}
