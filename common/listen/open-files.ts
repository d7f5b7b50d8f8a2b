import { readFileSync } from "node:fs";
import type { ConnectionLimits } from "../settings/settings.ts";

/** Files that a process has open besides connections: its store, its log, its files. */
const KEPT_FREE = 64;

/** How many files, connections among them, this process may have open; undefined: the system does not say (it does on Linux). */
export function openFilesLimit(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/**
 * The limits, with no more connections in all than the open files leave: where those run out nothing works, not the store either.
 * @param others files that are promised to somebody else
 */
export function withinOpenFiles({ inAll, perAddress }: ConnectionLimits, openFiles: number | undefined, others = 0): ConnectionLimits {
  if (openFiles === undefined) return { inAll, perAddress };
  return { inAll: Math.max(1, Math.min(inAll, openFiles - KEPT_FREE - others)), perAddress };
}

/** The limits of a gRPC and an HTTP listener that share a process: HTTP has up to a quarter of the files, gRPC, on which devices stay, the rest. */
export function sharedLimits(grpc: ConnectionLimits, http: ConnectionLimits, openFiles: number | undefined) {
  if (openFiles === undefined) return { grpc, http };
  const few = { ...http, inAll: Math.max(1, Math.min(http.inAll, Math.floor(openFiles / 4))) };
  return { grpc: withinOpenFiles(grpc, openFiles, few.inAll), http: few };
}
