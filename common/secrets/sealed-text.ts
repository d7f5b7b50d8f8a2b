/** How a secret value stands in the store: which key opens it, what reads show of it, and the encrypted value itself. */
export type SealedText = Readonly<{
  /** 8 hexadecimal digits, the id of SecretKeys. */
  keyId: string;
  /** 8 hexadecimal digits. */
  fingerprint: string;
  /** Nonce, ciphertext and tag. */
  payload: Buffer;
}>;

/** Every text that starts so is taken for a sealed one: none of a user's may. */
const PREFIX = "nebula-sealed:";
const FORM = /^nebula-sealed:1:([0-9a-f]{8}):([0-9a-f]{8}):([A-Za-z0-9_-]+)$/;

/** Bytes of the nonce and of the tag of AES-GCM. */
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;

const DISPLAY = /^secret:(?:[0-9a-f]{8}|unreadable)$/;

export function formatSealed({ keyId, fingerprint, payload }: SealedText): string {
  return `${PREFIX}1:${keyId}:${fingerprint}:${payload.toString("base64url")}`;
}

/** undefined: the text is not sealed, or damaged. */
export function parseSealed(text: string): SealedText | undefined {
  const [, keyId, fingerprint, payload] = FORM.exec(text) ?? [];
  return keyId === undefined || fingerprint === undefined || payload === undefined
    ? undefined
    : { keyId, fingerprint, payload: Buffer.from(payload, "base64url") };
}

/** Whether a text passes for a sealed one, of this version or another. */
export function looksSealed(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** The text that reads show in place of a value: `secret:` and the fingerprint. A text that is not sealed is not shown either. */
export function displayOf(stored: string): string {
  return `secret:${parseSealed(stored)?.fingerprint ?? "unreadable"}`;
}

/** Whether a text is what reads show in place of a value. */
export function isDisplay(text: string): boolean {
  return DISPLAY.test(text);
}

/** Characters that a value takes when it is sealed. */
export function sealedLength(value: string): number {
  const bytes = NONCE_BYTES + Buffer.byteLength(value) + TAG_BYTES;
  return `${PREFIX}1:xxxxxxxx:xxxxxxxx:`.length + Math.ceil((bytes * 4) / 3);
}
