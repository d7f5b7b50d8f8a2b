import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { ClusterIdentity } from "../storage/config-store.ts";

/**
 * Everything of ours in Redis is sealed: encrypted and authenticated (AES-256-GCM) under a key that only the parts of
 * this cluster can derive, for a purpose ("config/shops", "lease/shard-1"), a cluster and an epoch. Write access to
 * Redis can repeat what was sealed, and make nothing of its own.
 *
 * A sealed text is a header (version, the sender's boot, its sequence, cluster id, epoch), the ciphertext and the tag.
 * Each boot has a key of its own, and its sequence is the nonce: no nonce serves twice under one key, however many
 * processes seal.
 */

const ALGORITHM = "aes-256-gcm";
const VERSION = 1;
const BOOT_BYTES = 16;
const CLUSTER_BYTES = 16;
const HEADER_BYTES = 1 + BOOT_BYTES + 8 + CLUSTER_BYTES + 8;
const TAG_BYTES = 16;
/** Bytes that sealing adds to a payload. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES;
/** Senders whose keys are kept. */
const MOST_KEYS = 1000;

/** @param sequence rises with everything that the boot seals */
export type OpenedHint = Readonly<{ payload: Buffer; boot: string; sequence: bigint }>;

/** A process that does not read the store knows no cluster: what it seals is of none. */
const NO_CLUSTER: ClusterIdentity = { id: "00".repeat(CLUSTER_BYTES), epoch: 0n };

export class HintSeal {
  /** Names this cluster's keys and channels in Redis: of two clusters that share one, neither sees the other's. */
  readonly prefix: string;
  /** This process, hexadecimal. */
  readonly boot: string;
  readonly #clusterKey: string;
  readonly #cluster: ClusterIdentity | undefined;
  readonly #ownKey: Buffer;
  readonly #boot = randomBytes(BOOT_BYTES);
  readonly #keys = new Map<string, Buffer>();
  #sequence = 0n;

  /** @param cluster undefined: this process does not know it, and opens what is of any */
  constructor(clusterKey: string, cluster: ClusterIdentity | undefined) {
    this.#clusterKey = clusterKey;
    this.#cluster = cluster;
    this.boot = this.#boot.toString("hex");
    this.#ownKey = deriveKey(clusterKey, this.#boot);
    this.prefix = `nebula:${Buffer.from(hkdfSync("sha256", clusterKey, "", "nebula redis names 1", 6)).toString("hex")}:`;
  }

  seal(purpose: string, payload: Uint8Array): Buffer {
    const { id, epoch } = this.#cluster ?? NO_CLUSTER;
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = VERSION;
    this.#boot.copy(header, 1);
    header.writeBigUInt64BE(++this.#sequence, 1 + BOOT_BYTES);
    header.write(id, 1 + BOOT_BYTES + 8, CLUSTER_BYTES, "hex");
    header.writeBigUInt64BE(BigInt.asUintN(64, epoch), HEADER_BYTES - 8);
    const cipher = createCipheriv(ALGORITHM, this.#ownKey, nonceOf(header), { authTagLength: TAG_BYTES }).setAAD(boundTo(header, purpose));
    return Buffer.concat([header, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
  }

  /**
   * Opens what was sealed for this purpose; undefined for all else: garbage, another purpose, cluster or epoch.
   * @param ofNone also opens what a process sealed that knows no cluster
   */
  open(purpose: string, sealed: Buffer, { ofNone = false } = {}): OpenedHint | undefined {
    if (sealed.length < SEAL_BYTES || sealed[0] !== VERSION) return undefined;
    const header = sealed.subarray(0, HEADER_BYTES);
    if (!this.#isOurs(header, ofNone)) return undefined;
    const boot = header.subarray(1, 1 + BOOT_BYTES);
    const text = boot.toString("hex");
    const known = text === this.boot ? this.#ownKey : this.#keys.get(text);
    const key = known ?? deriveKey(this.#clusterKey, boot);
    try {
      const decipher = createDecipheriv(ALGORITHM, key, nonceOf(header), { authTagLength: TAG_BYTES });
      decipher.setAAD(boundTo(header, purpose)).setAuthTag(sealed.subarray(-TAG_BYTES));
      const payload = Buffer.concat([decipher.update(sealed.subarray(HEADER_BYTES, -TAG_BYTES)), decipher.final()]);
      if (known === undefined) this.#keep(text, key);
      return { payload, boot: text, sequence: header.readBigUInt64BE(1 + BOOT_BYTES) };
    } catch {
      return undefined; // the tag does not fit
    }
  }

  #isOurs(header: Buffer, ofNone: boolean): boolean {
    if (this.#cluster === undefined) return true;
    const is = ({ id, epoch }: ClusterIdentity) =>
      header.toString("hex", 1 + BOOT_BYTES + 8, HEADER_BYTES - 8) === id && header.readBigUInt64BE(HEADER_BYTES - 8) === BigInt.asUintN(64, epoch);
    return is(this.#cluster) || (ofNone && is(NO_CLUSTER));
  }

  #keep(boot: string, key: Buffer): void {
    this.#keys.set(boot, key);
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= MOST_KEYS) break;
      this.#keys.delete(oldest);
    }
  }
}

/** HKDF with SHA-256 (RFC 5869). */
function deriveKey(clusterKey: string, boot: Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", clusterKey, boot, "nebula hints in redis 1", 32));
}

/** The sequence, in 96 bits. */
function nonceOf(header: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(4), header.subarray(1 + BOOT_BYTES, 1 + BOOT_BYTES + 8)]);
}

function boundTo(header: Buffer, purpose: string): Buffer {
  return Buffer.concat([header, Buffer.from(purpose)]);
}

/** Sequences below the highest that are distinguished: messages of one sender may overtake each other by as much. */
const WINDOW = 1024n;
/** Senders that are remembered; the one heard of longest ago goes first. */
const MOST_SENDERS = 1000;

/** Tells a sender's new messages from repeats: what was recorded before and is sent again. */
export class SeenSequences {
  readonly #senders = new Map<string, { highest: bigint; readonly window: Set<bigint> }>();

  /** Whether this sequence of the sender is new; it is not from then on. */
  isNew(boot: string, sequence: bigint): boolean {
    const sender = this.#senders.get(boot) ?? { highest: 0n, window: new Set<bigint>() };
    if (sequence <= sender.highest - WINDOW || sender.window.has(sequence)) return false;
    this.#senders.delete(boot); // to the end, as the newest
    this.#senders.set(boot, sender);
    sender.window.add(sequence);
    if (sequence > sender.highest) sender.highest = sequence;
    for (const oldest of sender.window) {
      if (oldest > sender.highest - WINDOW) break;
      sender.window.delete(oldest);
    }
    for (const oldest of this.#senders.keys()) {
      if (this.#senders.size <= MOST_SENDERS) break;
      this.#senders.delete(oldest);
    }
    return true;
  }
}
