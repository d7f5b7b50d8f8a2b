import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { FairWork, FOR_KNOWN_CALLER, type WorkFor } from "./fair-work.ts";
import { formatArgon2id, type PasswordFormat, parsePasswordHash } from "./password-format.ts";
import { verifyBcrypt } from "./verify-bcrypt.ts";

/*
 * The parameters are the first choice of OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane; some 30 ms of one core.
 *
 * The bound on passwords is of the whole process: two at a time (38 MiB, and two of the four threads with which Node also
 * reads files and resolves names), for any load.
 */

const MEMORY_KIB = 19_456;
const PASSES = 2;
const PARALLELISM = 1;
/** Bytes. */
const SALT = 16;
const DIGEST = 32;

const argon2Work = new FairWork({ what: "password checks", atOnce: 2, waiting: 64, kept: 16 });
/** bcrypt in JavaScript takes ten times as long, so one at a time, and few wait: only imported hashes before their first login use it. */
const bcryptWork = new FairWork({ what: "checks of carried over passwords", atOnce: 1, waiting: 16, kept: 4 });

const derive = promisify(argon2);

/** The result of a check. `outdated`: the stored hash is of another algorithm than hashPassword uses, or weaker. */
export type PasswordCheck = Readonly<{ ok: boolean; outdated: boolean }>;

export type HashOptions = Readonly<{
  /** Default: a caller who is logged in already. */
  workFor?: WorkFor;
  signal?: AbortSignal;
}>;

/**
 * Hashes a password with argon2id and a new salt; returns a PHC string. Rejects with `resource_exhausted` if too many
 * wait, and with the reason of the signal if it is aborted first.
 */
export async function hashPassword(password: string, { workFor = FOR_KNOWN_CALLER, signal }: HashOptions = {}): Promise<string> {
  const parameters = { memoryKib: MEMORY_KIB, passes: PASSES, parallelism: PARALLELISM, salt: randomBytes(SALT) };
  const digest = await argon2Work.run(() => argon2id(password, parameters, DIGEST), workFor, signal);
  return formatArgon2id({ ...parameters, digest });
}

/**
 * Whether the password matches the hash. A hash that cannot be read, or that exceeds the highest cost, never matches.
 * Rejects as hashPassword does.
 */
export async function verifyPassword(
  password: string,
  hash: string,
  { workFor = FOR_KNOWN_CALLER, signal }: HashOptions = {},
): Promise<PasswordCheck> {
  const format = parsePasswordHash(hash);
  switch (format?.kind) {
    case "argon2id": {
      const digest = await argon2Work.run(() => argon2id(password, format, format.digest.length), workFor, signal);
      return { ok: timingSafeEqual(digest, format.digest), outdated: isWeaker(format) };
    }
    case "bcrypt":
      return { ok: await bcryptWork.run(() => verifyBcrypt(password, format.text, signal), workFor, signal), outdated: true };
    case undefined:
      return { ok: false, outdated: true };
  }
}

type Argon2Parameters = Omit<PasswordFormat & { kind: "argon2id" }, "kind" | "digest">;

function argon2id(password: string, { memoryKib, passes, parallelism, salt }: Argon2Parameters, tagLength: number): Promise<Buffer> {
  return derive("argon2id", { message: password, nonce: salt, parallelism, tagLength, memory: memoryKib, passes });
}

/** Whether a hash is weaker than those of hashPassword. The cost of a guess is memory times passes. */
function isWeaker({ memoryKib, passes, salt, digest }: PasswordFormat & { kind: "argon2id" }): boolean {
  return memoryKib * passes < MEMORY_KIB * PASSES || salt.length < SALT || digest.length < DIGEST;
}
