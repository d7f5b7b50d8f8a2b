import type { ErrorKind } from "./nebula-error.ts";

/** gRPC's status codes; Connect uses the same numbers. */
const CODE_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  cancelled: 1,
  invalid_argument: 3,
  deadline_exceeded: 4,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  resource_exhausted: 8,
  failed_precondition: 9,
  conflict: 10, // ABORTED
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
};

const KIND_OF_CODE = new Map(Object.entries(CODE_OF_KIND).map(([kind, code]) => [code, kind as ErrorKind]));
/** Codes that Nebula never sends, but a peer may. */
const FOREIGN_CODES: Readonly<Record<number, ErrorKind>> = { 2: "internal", 11: "invalid_argument", 15: "internal" };

/** The gRPC and Connect code of a kind. */
export function codeOf(kind: ErrorKind): number {
  return CODE_OF_KIND[kind];
}

/** The kind of a gRPC or Connect code; an unknown code is `internal`. */
export function kindOf(code: number): ErrorKind {
  return KIND_OF_CODE.get(code) ?? FOREIGN_CODES[code] ?? "internal";
}

/** The name of a kind's code: PERMISSION_DENIED. */
export function codeNameOf(kind: ErrorKind): string {
  return kind === "conflict" ? "ABORTED" : kind.toUpperCase();
}

/** The names of all codes that a call can end with. */
export const CODE_NAMES: readonly string[] = ["OK", ...[...KIND_OF_CODE.values()].map(codeNameOf)];
