import { createPrivateKey, X509Certificate } from "node:crypto";
import { messageOf, NebulaError } from "../errors/nebula-error.ts";

/** A certificate with its intermediates, and its private key. */
export type KeyPair = Readonly<{ cert: Buffer; key: Buffer }>;

/** A file with the setting that names it: the name of the variable, or of the flag that was given. */
export type NamedFile = Readonly<{ setting: string; path: string; bytes: Buffer }>;

/**
 * A certificate and its key, which must belong together: a half-written file is refused, and so is one whose other file is still the old one.
 * @throws NebulaError `failed_precondition` that names the file; never with anything of the key in it
 */
export function readKeyPair(cert: NamedFile, key: NamedFile): KeyPair {
  const [leaf] = certificatesIn(cert);
  if (leaf === undefined) throw wrong(cert, "holds no certificate");
  if (!leaf.checkPrivateKey(privateKeyIn(key))) throw wrong(key, `is not the key of the certificate in ${cert.path}`);
  return { cert: cert.bytes, key: key.bytes };
}

/** The authorities in a file, at least one. @throws as readKeyPair */
export function readAuthorities(file: NamedFile): Buffer {
  if (certificatesIn(file).length === 0) throw wrong(file, "holds no certificate");
  return file.bytes;
}

/** PEM of the first certificate of some: the server's own. */
export function leafOf(cert: Buffer): Buffer {
  return Buffer.from(new X509Certificate(cert).toString());
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g;

function certificatesIn(file: NamedFile): X509Certificate[] {
  const text = file.bytes.toString("latin1");
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length !== (text.match(/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/g) ?? []).length) throw wrong(file, "ends within a certificate");
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw wrong(file, `holds a certificate that can't be read: ${messageOf(error)}`);
  }
}

function privateKeyIn(file: NamedFile) {
  try {
    return createPrivateKey(file.bytes);
  } catch {
    // the message of OpenSSL does not help, and a key must not be repeated
    throw wrong(file, "holds no private key that can be read: give one in PEM without a passphrase");
  }
}

function wrong({ setting, path }: NamedFile, what: string): NebulaError {
  return new NebulaError("failed_precondition", `${setting} ${path} ${what}`);
}
