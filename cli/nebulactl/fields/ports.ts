import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { startingPortsFromV2 } from "../../../common/v2/starting-ports.ts";
import type { StartingPort } from "../../../gen/nebula/v1/app_pb.ts";
import { parseList } from "./text-values.ts";

/** `80,8080:80,53/udp,127.0.0.1:8080:80`: the same port inside and outside, or [address:]host:container, tcp unless it says udp. */
export function parsePorts(text: string, label: string): StartingPort[] {
  return parseList(text, label).flatMap((entry) => {
    const read = startingPortsFromV2([entry]);
    if (read.kind === "ports") return read.ports;
    throw new NebulaError(
      "invalid_argument",
      `invalid port ${JSON.stringify(entry)} in ${label}; use 80, 8080:80 (host:container), 53/udp or 127.0.0.1:8080:80, from 1 to 65535`,
    );
  });
}
