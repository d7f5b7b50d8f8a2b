/** One thing that is wrong with a request: which field, what is wrong with it, and what would be right. */
export type Violation = Readonly<{
  /** Path of the field by proto names: `starting_ports[1].host_port`, `env_vars.KEY`. */
  field: string;
  /** One sentence: what is invalid, the value, and what to use. */
  description: string;
}>;

/** The kind of an error, in Nebula's words. `codes.ts` maps each kind to a gRPC and Connect code. */
export type ErrorKind =
  | "cancelled"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "conflict"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "unauthenticated";

export type NebulaErrorOptions = {
  violations?: readonly Violation[];
  /** When the same call may do, milliseconds from now. */
  retryAfterMs?: number | undefined;
  /** Whether the refusal belongs in the audit log also where the refusals of its method do not. */
  audited?: boolean;
  cause?: unknown;
};

/** The one error that Nebula's code throws on purpose. Any other error is unhandled and is answered as `internal`. */
export class NebulaError extends Error {
  override readonly name = "NebulaError";
  readonly kind: ErrorKind;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | undefined;
  readonly audited: boolean;

  constructor(kind: ErrorKind, message: string, options: NebulaErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.audited = options.audited ?? false;
  }
}

/** An `invalid_argument` that carries every violation found; its message is the first one, and how many more there are. */
export function invalidArgument(violations: readonly Violation[]): NebulaError {
  const [first, ...more] = violations;
  const message = first === undefined ? "the request is not valid" : `${first.field}: ${first.description}`;
  return new NebulaError("invalid_argument", more.length === 0 ? message : `${message} (and ${more.length} more)`, { violations });
}

/** Throws `invalid_argument` with the violations, if there are any. */
export function assertNoViolations(violations: readonly Violation[]): void {
  if (violations.length > 0) throw invalidArgument(violations);
}

export function isNebulaError(error: unknown, kind?: ErrorKind): error is NebulaError {
  return error instanceof NebulaError && (kind === undefined || error.kind === kind);
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
