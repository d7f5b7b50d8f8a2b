import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connectCassandra } from "../common/storage/cassandra/connection/connect-cassandra.ts";
import { eventually } from "../common/testing/eventually.ts";
import { freePort, onFreePorts } from "../common/testing/free-port.ts";
import { requireDocker } from "../common/testing/require-docker.ts";
import { freshKeyspace } from "../common/testing/servers.ts";
import { TestAuthority } from "../common/testing/test-authority.ts";
import { TestContainer } from "../common/testing/test-container.ts";
import { openOptions } from "../common/testing/test-keyspace.ts";
import { Api } from "./harness/api.ts";
import { Program } from "./harness/program.ts";

const run = promisify(execFile);
const SECRETS = { NEBULA_CLUSTER_KEY: "the key of a server on Cassandra", NEBULA_ADMIN_PASSWORD: "a password of the tests" };
const [MIGRATOR, COMPONENT] = ["nebula_migrate", "nebula"];
const PASSWORD = "a password of a role";

/** A node that speaks TLS alone, asks for a login, and grants each role its own rights. */
async function startSecureCassandra(authority: TestAuthority): Promise<TestContainer> {
  const { certFile, keyFile } = await authority.issue("cassandra");
  const password = randomBytes(8).toString("hex");
  const packed = ["pkcs12", "-export", "-in", certFile, "-inkey", keyFile, "-passout", `pass:${password}`];
  const { stdout: keystore } = await run("openssl", packed, { encoding: "buffer" });
  const settings = {
    authenticator: "PasswordAuthenticator",
    authorizer: "CassandraAuthorizer",
    "client_encryption_options.enabled": "true",
    "client_encryption_options.optional": "false",
    "client_encryption_options.keystore": "/tmp/keystore.p12",
    "client_encryption_options.keystore_password": password,
    "client_encryption_options.store_type": "PKCS12",
  };
  const given = Object.entries(settings).map(([name, value]) => `-Dcassandra.settings.${name}=${value}`);
  return onFreePorts(async () =>
    TestContainer.start({
      image: "cassandra:5.0",
      port: await freePort(),
      insidePort: 9042,
      env: {
        MAX_HEAP_SIZE: "512M",
        HEAP_NEWSIZE: "128M",
        KEYSTORE: keystore.toString("base64"),
        JAVA_TOOL_OPTIONS: ["-Dcassandra.config.allow_system_properties=true", ...given].join(" "),
      },
      entrypoint: ["bash", "-c"],
      command: [
        `echo "$KEYSTORE" | base64 -d > /tmp/keystore.p12; chmod 644 /tmp/keystore.p12
        [ ! -x /etc/cassandra/run ] || exec /etc/cassandra/run
        exec docker-entrypoint.sh cassandra -f`,
      ],
    }),
  );
}

// A Cassandra of its own: for the long run alone.
if (process.env.NEBULA_TEST_LONG === "1") describe("nebula on a Cassandra with TLS and logins", describeLogins);

function describeLogins(this: Mocha.Suite): void {
  this.timeout(150_000);
  const keyspace = freshKeyspace();
  let authority: TestAuthority;
  let otherAuthority: TestAuthority;
  let cassandra: TestContainer;
  let folder: string;
  before("start Cassandra", async function () {
    await requireDocker(this);
    folder = await mkdtemp(join(tmpdir(), "nebula-e2e-cassandra-"));
    [authority, otherAuthority] = await Promise.all([TestAuthority.make(), TestAuthority.make()]);
    cassandra = await startSecureCassandra(authority);
    await asAdministrator(
      `CREATE ROLE ${MIGRATOR} WITH LOGIN = true AND PASSWORD = '${PASSWORD}'`,
      `CREATE ROLE ${COMPONENT} WITH LOGIN = true AND PASSWORD = '${PASSWORD}'`,
      `GRANT CREATE ON ALL KEYSPACES TO ${MIGRATOR}`,
      ...["system", "system_schema", "system_views"].flatMap((name) => [
        `GRANT SELECT ON KEYSPACE ${name} TO ${MIGRATOR}`,
        `GRANT SELECT ON KEYSPACE ${name} TO ${COMPONENT}`,
      ]),
    );
  });
  after(async () => {
    await cassandra?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await otherAuthority?.[Symbol.asyncDispose]();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const urlOf = (user?: string, tls = true) =>
    `cassandra://${cassandra.address}/${keyspace}?rf=1&tls=${tls}${user === undefined ? "" : `&user=${user}`}`;

  /** The role that a new Cassandra makes comes a moment after its port answers. */
  async function asAdministrator(...statements: readonly string[]): Promise<void> {
    const options = openOptions(urlOf("cassandra"), { password: "cassandra", ca: authority.caFile });
    await using client = await eventually(() => connectCassandra(options, { withoutKeyspace: true }), { timeoutMs: 60_000, everyMs: 500 });
    for (const statement of statements) await client.define(statement);
  }

  function nebula(args: readonly string[], env: Readonly<Record<string, string>>): Program {
    const given = { NEBULA_STORE_PASSWORD: PASSWORD, NEBULA_STORE_CA: authority.caFile, NEBULA_DATA: join(folder, "data"), ...SECRETS };
    return new Program(args, { env: { ...given, ...env } });
  }

  /** Runs to its end; answers the exit code and what was printed. */
  async function ended(args: readonly string[], env: Readonly<Record<string, string>>) {
    await using program = nebula(args, env);
    return { code: await program.exit(), output: program.output };
  }

  it("nebula makes its keyspace for a role that may create keyspaces, and serves for one that may read and write it alone", async () => {
    const migrated = await ended(["migrate"], { NEBULA_STORE: urlOf(MIGRATOR) });
    assert.equal(migrated.code, 0, migrated.output);
    await asAdministrator(...["SELECT", "MODIFY"].map((right) => `GRANT ${right} ON KEYSPACE ${keyspace} TO ${COMPONENT}`));
    const [http, grpc] = [await freePort(), await freePort()];
    const listen = { NEBULA_HTTP_LISTEN: `127.0.0.1:${http}`, NEBULA_GRPC_LISTEN: `127.0.0.1:${grpc}`, NEBULA_METRICS_LISTEN: "off" };
    await using server = nebula(["server"], { NEBULA_STORE: urlOf(COMPONENT), ...listen });
    await server.printed(/is up\./, 60_000);
    using api = new Api(`127.0.0.1:${grpc}`, SECRETS.NEBULA_ADMIN_PASSWORD);
    await api.createApp({ name: "web", dockerImage: "shop:1" });
    assert.equal((await api.updateApp("web", { dockerImage: "shop:2" })).revision, 2n);
    assert.equal(await server.stop(), 0, server.output);
    assert.ok(!server.output.includes(PASSWORD));
  });

  it("nebula ends with the right that is missing where a role may not create keyspaces", async () => {
    const { code, output } = await ended(["migrate"], { NEBULA_STORE: urlOf(COMPONENT).replace(keyspace, freshKeyspace()) });
    assert.equal(code, 1, output);
    assert.match(output, /the login of the store lacks a right: .*CREATE/);
  });

  it("nebula ends with the setting that helps where the password is wrong or absent, and shows none", async () => {
    const wrong = await ended(["server"], { NEBULA_STORE: urlOf(COMPONENT), NEBULA_STORE_PASSWORD: "hunter2" });
    assert.equal(wrong.code, 1, wrong.output);
    assert.match(wrong.output, /Cassandra refuses the login of user "nebula": .*NEBULA_STORE_PASSWORD/);
    assert.doesNotMatch(wrong.output, /hunter2/);
    const absent = await ended(["server"], { NEBULA_STORE: urlOf() });
    assert.equal(absent.code, 1, absent.output);
    assert.match(absent.output, /Cassandra asks for a login: .*\?user=/);
  });

  it("nebula waits for a node whose certificate is of another authority, or that speaks no clear text, and shows no password", async () => {
    const otherCa = { NEBULA_STORE: urlOf(COMPONENT), NEBULA_STORE_CA: otherAuthority.caFile };
    for (const env of [otherCa, { NEBULA_STORE: urlOf(COMPONENT, false) }]) {
      await using server = nebula(["server"], { ...env, NEBULA_METRICS_LISTEN: "off" });
      await server.printed(/no Cassandra node answers at .*: waiting for it/, 30_000);
      assert.equal(await server.stop(), 0, server.output);
      assert.ok(!server.output.includes(PASSWORD));
    }
  });
}
