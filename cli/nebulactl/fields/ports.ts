import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { startingPortsFromV2 } from "../../../common/v2/starting-ports.ts";
import { quote } from "../../../common/validation/quote.ts";
import type { StartingPort } from "../../../gen/nebula/v1/app_pb.ts";

/** `80`, `8080:80`, `53/udp`, `127.0.0.1:8080:80`: the same port inside and outside, or [address:]host:container, tcp unless it says udp. */
export function parsePort(text: string, label: string): readonly StartingPort[] {
  const read = startingPortsFromV2([text]);
  if (read.kind === "ports") return read.ports;
  throw new NebulaError(
    "invalid_argument",
    `invalid port ${quote(text)} in ${label}; use 80, 8080:80 (host:container), 53/udp or 127.0.0.1:8080:80, from 1 to 65535`,
  );
}
