import { strict as assert } from "node:assert";
import { chmod, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../errors/nebula-error.ts";
import { createLog, type Log, silentLog } from "../log/log.ts";
import { eventually } from "../testing/eventually.ts";
import { TestAuthority } from "../testing/test-authority.ts";
import { throughout } from "../testing/throughout.ts";
import { ReloadedClientTls } from "./client-tls.ts";
import { readAuthorities, readKeyPair } from "./read-pem.ts";
import { ServerTls } from "./server-tls.ts";

const SETTINGS = { clientCa: undefined, clientAuth: "off", ca: undefined, clientCert: undefined, clientKey: undefined } as const;

describe("certificates in files", () => {
  let folder: string;
  let authority: TestAuthority;
  let logged: string[];
  let log: Log;
  let cert: string;
  let key: string;
  before(async () => {
    authority = await TestAuthority.make();
  });
  after(() => authority[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-tls-"));
    [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    logged = [];
    log = createLog({ level: "info", part: "test", destination: { write: (line: string) => void logged.push(line) } });
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function put(pair: { cert: Buffer; key: Buffer }): Promise<void> {
    await writeFile(cert, pair.cert);
    await writeFile(key, pair.key, { mode: 0o600 });
  }

  it("certificate files are read again when both have changed, and never half of a pair", async () => {
    const [first, second] = [await authority.issue("one"), await authority.issue("two")];
    await put(first);
    using tls = await ServerTls.open({ ...SETTINGS, cert, key }, log);
    assert.ok(tls);
    let changes = 0;
    tls.onChange(() => changes++);
    await writeFile(cert, second.cert);
    await eventually(() => logged.some((line) => line.includes("those from before stay")));
    assert.deepEqual(tls.cert, first.cert);
    await writeFile(key, second.key);
    await eventually(() => tls.cert.equals(second.cert));
    assert.equal(changes, 1);
  });

  it("broken certificate files leave the earlier ones in use, with one warning each", async () => {
    const pair = await authority.issue("one");
    await put(pair);
    using tls = await ServerTls.open({ ...SETTINGS, cert, key }, log);
    const warnings = () => logged.filter((line) => line.includes("those from before stay")).length;
    await writeFile(cert, pair.cert.subarray(0, pair.cert.length / 2));
    await eventually(() => warnings() === 1);
    await writeFile(cert, pair.cert.subarray(0, pair.cert.length / 2)); // the same again
    await throughout(600, () => assert.equal(warnings(), 1));
    await rm(cert);
    await eventually(() => warnings() === 2);
    assert.deepEqual(tls?.cert, pair.cert);
    assert.ok(!logged.join().includes("PRIVATE KEY"));
  });

  it("certificate files behind a link that is switched are found by looking", async () => {
    const [first, second] = [await authority.issue("one"), await authority.issue("two")];
    for (const [name, pair] of [["a", first] as const, ["b", second] as const]) {
      await writeFile(join(folder, `${name}.pem`), Buffer.concat([pair.cert, pair.key]), { mode: 0o600 });
    }
    const link = join(folder, "current.pem");
    await symlink("a.pem", link);
    using tls = await ServerTls.open({ ...SETTINGS, cert: link, key: link }, silentLog);
    await symlink("b.pem", `${link}.new`);
    await rename(`${link}.new`, link);
    await eventually(() => tls?.cert.includes(second.cert) === true);
  });

  it("wrong certificate files are refused at the start, by the file's name and without the key", async () => {
    const [one, other] = [await authority.issue("one"), await authority.issue("two")];
    const named = (setting: string, bytes: Buffer) => ({ setting, path: `${setting}.pem`, bytes });
    const refused = (run: () => unknown, pattern: RegExp) =>
      assert.throws(run, (error) => isNebulaError(error, "failed_precondition") && pattern.test(error.message) && !error.message.includes("BEGIN"));
    refused(() => readKeyPair(named("CERT", one.cert), named("KEY", other.key)), /KEY KEY.pem is not the key of the certificate/);
    refused(() => readKeyPair(named("CERT", one.key), named("KEY", one.key)), /CERT.pem holds no certificate/);
    refused(() => readKeyPair(named("CERT", one.cert), named("KEY", one.cert)), /KEY.pem holds no private key/);
    refused(() => readAuthorities(named("CA", one.cert.subarray(0, -40))), /CA.pem ends within a certificate/);
    refused(() => readAuthorities(named("CA", Buffer.from(""))), /holds no certificate/);
    await assert.rejects(ServerTls.open({ ...SETTINGS, cert, key }, silentLog), /NEBULA_TLS_CERT .*can't be read/);
  });

  it("a key file that others can read is a warning", async () => {
    await put(await authority.issue("one"));
    using _closed = await ServerTls.open({ ...SETTINGS, cert, key }, log);
    assert.deepEqual(logged, []);
    await chmod(key, 0o644);
    using _open = await ServerTls.open({ ...SETTINGS, cert, key }, log);
    assert.match(logged.join(), /NEBULA_TLS_KEY: others can read this private key/);
  });

  it("certificates of a client stay the same object until one changes", async () => {
    const ca = join(folder, "ca.pem");
    await writeFile(ca, await readFile(authority.caFile));
    using tls = await ReloadedClientTls.open({ ca, clientCert: undefined, clientKey: undefined }, log);
    const before = tls.current;
    assert.equal(tls.current, before);
    await using another = await TestAuthority.make();
    await writeFile(ca, another.ca);
    await eventually(() => tls.current !== before);
    assert.deepEqual(tls.current.ca, another.ca);
  });
});
