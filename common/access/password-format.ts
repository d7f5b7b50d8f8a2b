/** The parts of a stored password hash. */
export type PasswordFormat = Readonly<
  | { kind: "argon2id"; memoryKib: number; passes: number; parallelism: number; salt: Buffer; digest: Buffer }
  /** `text`: all of it, as bcrypt libraries take it. */
  | { kind: "bcrypt"; cost: number; text: string }
>;

/** The highest cost of a stored hash: an imported one must not take all memory, or a processor for minutes. */
const MOST = { memoryKib: 262_144, passes: 16, parallelism: 16, bcryptCost: 14 } as const;
/** The minimums of Argon2 itself: bytes of salt and digest, and memory for each lane, KiB. */
const LEAST = { salt: 8, digest: 16, memoryPerLaneKib: 8, bcryptCost: 4 } as const;
const LONGEST_BYTES = 64;

const ARGON2ID = /^\$argon2id\$v=19\$m=([1-9][0-9]{0,9}),t=([1-9][0-9]{0,9}),p=([1-9][0-9]{0,9})\$([A-Za-z0-9+/]{1,86})\$([A-Za-z0-9+/]{1,86})$/;
const BCRYPT = /^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$/;

/** The description of a hash in the errors of a field that takes one. */
export const PASSWORD_HASH_RULE = `an argon2id hash ($argon2id$v=19$m=...,t=...,p=...$salt$hash, at most m=${MOST.memoryKib}, t=${MOST.passes}, p=${MOST.parallelism}) or a bcrypt hash ($2a$, $2b$ or $2y$, cost ${LEAST.bcryptCost} to ${MOST.bcryptCost})`;

/** Parses a hash; undefined if it is neither argon2id (a PHC string) nor bcrypt, or exceeds the highest cost. */
export function parsePasswordHash(hash: string): PasswordFormat | undefined {
  return parseArgon2id(hash) ?? parseBcrypt(hash);
}

/** The PHC string of an argon2id hash. */
export function formatArgon2id(hash: Omit<PasswordFormat & { kind: "argon2id" }, "kind">): string {
  const { memoryKib, passes, parallelism, salt, digest } = hash;
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(digest)}`;
}

function parseArgon2id(hash: string): PasswordFormat | undefined {
  const [, m, t, p, salt64 = "", digest64 = ""] = ARGON2ID.exec(hash) ?? [];
  const [memoryKib, passes, parallelism] = [Number(m), Number(t), Number(p)];
  const cheapEnough = memoryKib <= MOST.memoryKib && passes <= MOST.passes && parallelism <= MOST.parallelism; // false for NaN
  if (!cheapEnough || memoryKib < LEAST.memoryPerLaneKib * parallelism) return undefined;
  const salt = bytesOf(salt64, LEAST.salt);
  const digest = bytesOf(digest64, LEAST.digest);
  return salt === undefined || digest === undefined ? undefined : { kind: "argon2id", memoryKib, passes, parallelism, salt, digest };
}

function parseBcrypt(hash: string): PasswordFormat | undefined {
  const cost = Number(BCRYPT.exec(hash)?.[1]);
  return cost >= LEAST.bcryptCost && cost <= MOST.bcryptCost ? { kind: "bcrypt", cost, text: hash } : undefined;
}

function bytesOf(base64: string, fewest: number): Buffer | undefined {
  const bytes = Buffer.from(base64, "base64");
  const isWhole = unpadded(bytes) === base64; // Buffer.from skips characters outside base64, and spare bits
  return isWhole && bytes.length >= fewest && bytes.length <= LONGEST_BYTES ? bytes : undefined;
}

/** Base64 of PHC strings: the standard alphabet, no padding. */
function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
