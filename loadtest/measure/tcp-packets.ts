import { spawnSync } from "node:child_process";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** Packets that a connection from this port of ours to `remotePort` has sent and received so far, as the kernel counted them (`ss` of iproute2). */
export function tcpPackets(localPort: number, remotePort: number): number {
  const { stdout, error } = spawnSync("ss", ["-Htin", `sport = :${localPort} and dport = :${remotePort}`], { encoding: "utf8" });
  if (error !== undefined)
    throw new NebulaError("failed_precondition", `ss, which counts packets, could not be run (Debian: iproute2): ${error.message}`);
  return packetsIn(stdout);
}

/** @throws NebulaError when the text is not about one connection with counters */
export function packetsIn(text: string): number {
  const out = [...text.matchAll(/\bsegs_out:(\d+)/g)];
  const inward = [...text.matchAll(/\bsegs_in:(\d+)/g)];
  if (out.length !== 1 || inward.length !== 1)
    throw new NebulaError("failed_precondition", `ss names no packets of one connection: ${text.trim() || "nothing"}`);
  return Number(out[0]?.[1]) + Number(inward[0]?.[1]);
}
