import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { startingPortsFromV2 } from "../../../common/v2/starting-ports.ts";
import type { StartingPort } from "../../../gen/nebula/v1/app_pb.ts";
import { parseList } from "./text-values.ts";

/** `80,8080:80,53/udp`: the same port inside and outside, or host:container, tcp unless it says udp. */
export function parsePorts(text: string, label: string): StartingPort[] {
  return parseList(text, label).flatMap((entry) => {
    const [host = "", container] = entry.split(":", 2);
    const read = startingPortsFromV2([container === undefined ? entry : { [host]: container }]);
    if (read.kind === "ports" && entry.split(":").length <= 2) return read.ports;
    throw new NebulaError(
      "invalid_argument",
      `${label} wants ports such as 80, 8080:80 (host:container) or 53/udp, from 1 to 65535, and "${entry}" is none`,
    );
  });
}
