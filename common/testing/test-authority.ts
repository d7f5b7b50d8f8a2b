import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** A certificate that openssl made, in memory and in files. */
export type Issued = Readonly<{ cert: Buffer; key: Buffer; certFile: string; keyFile: string }>;

/** An authority of a test's own, which issues certificates that are good for two days. */
export class TestAuthority implements AsyncDisposable {
  readonly #folder: string;
  readonly ca: Buffer;
  readonly caFile: string;

  static async make(): Promise<TestAuthority> {
    const folder = await mkdtemp(join(tmpdir(), "nebula-ca-"));
    const [keyFile, caFile] = [join(folder, "ca.key"), join(folder, "ca.pem")];
    const name = `/CN=test authority ${randomBytes(4).toString("hex")}`;
    await run("openssl", ["req", "-x509", ...KEY, "-days", "2", "-subj", name, "-keyout", keyFile, "-out", caFile]);
    return new TestAuthority(folder, await readFile(caFile), caFile);
  }

  private constructor(folder: string, ca: Buffer, caFile: string) {
    this.#folder = folder;
    this.ca = ca;
    this.caFile = caFile;
  }

  /** @param names what the certificate is of, as openssl writes it */
  async issue(commonName: string, names = "IP:127.0.0.1,DNS:localhost"): Promise<Issued> {
    const base = join(this.#folder, randomBytes(6).toString("hex"));
    const [keyFile, requestFile, certFile, extensions] = [`${base}.key`, `${base}.csr`, `${base}.pem`, `${base}.ext`];
    await run("openssl", ["req", ...KEY, "-subj", `/CN=${commonName}`, "-keyout", keyFile, "-out", requestFile]);
    await writeFile(extensions, `subjectAltName=${names}\n`);
    const signing = ["-CA", this.caFile, "-CAkey", join(this.#folder, "ca.key"), "-set_serial", `0x${randomBytes(8).toString("hex")}`];
    await run("openssl", ["x509", "-req", "-in", requestFile, ...signing, "-days", "2", "-extfile", extensions, "-out", certFile]);
    return { cert: await readFile(certFile), key: await readFile(keyFile), certFile, keyFile };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
