import type { MessageInitShape } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { type ContainersPerSchema, PortProtocol, type StartingPortSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { parseList } from "./text-values.ts";

/** `80,8080:80,53/udp`: the same port inside and outside, or host:container, tcp unless it says udp. */
export function parsePorts(text: string, label: string): MessageInitShape<typeof StartingPortSchema>[] {
  return parseList(text, label).map((entry) => {
    const [, host = "", container = host, protocol = "tcp"] = /^(\d+)(?::(\d+))?(?:\/(tcp|udp))?$/.exec(entry) ?? [];
    if (host === "")
      throw new NebulaError("invalid_argument", `${label} wants ports such as 80, 8080:80 (host:container) or 53/udp, and "${entry}" is none`);
    return {
      hostPort: portNumber(host, label),
      containerPort: portNumber(container, label),
      protocol: protocol === "udp" ? PortProtocol.UDP : PortProtocol.TCP,
    };
  });
}

/** `server:1`, `cpu:0.5`, `memory:512`; `instance` and `mem` are the original's other names of `server` and `memory`. */
export function parseContainersPer(text: string, label: string): MessageInitShape<typeof ContainersPerSchema> {
  const [, kind = "", number = ""] = /^\s*([a-z_]+)\s*:\s*(\d+(?:\.\d+)?)\s*$/i.exec(text) ?? [];
  const value = Number(number);
  switch (number === "" ? "" : kind.toLowerCase()) {
    case "server":
    case "instance":
      return { per: { case: "server", value: whole(value, text, label) } };
    case "cpu":
      return { per: { case: "cpu", value } };
    case "memory":
    case "mem":
    case "memory_mb":
      return { per: { case: "memoryMb", value: whole(value, text, label) } };
    default:
      throw new NebulaError("invalid_argument", `${label} is server:N, cpu:N (per core) or memory:N (one container per N MB), not "${text}"`);
  }
}

function portNumber(text: string, label: string): number {
  const port = Number(text);
  if (port >= 1 && port <= 65535) return port;
  throw new NebulaError("invalid_argument", `${label}: ${text} is no port; ports are 1 to 65535`);
}

function whole(value: number, text: string, label: string): number {
  if (Number.isInteger(value) && value <= 0xffff_ffff) return value;
  throw new NebulaError("invalid_argument", `${label} wants a whole number after the colon, not "${text}"`);
}
