import { strict as assert } from "node:assert";
import { Registry } from "prom-client";
import { migrateReportBus, openReportBus } from "../../common/bus/kafka/kafka-bus.ts";
import { MECHANISMS, type Mechanism } from "../../common/bus/kafka/kafka-url.ts";
import { collect } from "../../common/bus/report-bus-contract.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import type { BackendLogin } from "../../common/settings/settings.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { KAFKA_VERSIONS, type SecureKafka, startSecureKafka } from "../../common/testing/kafka-fleets.ts";
import { requireDocker } from "../../common/testing/require-docker.ts";
import { freshTopic } from "../../common/testing/servers.ts";
import { type Issued, TestAuthority } from "../../common/testing/test-authority.ts";

const PASSWORD = "a password of the broker";
const never = new AbortController().signal;

// A Kafka of its own for each version: for the long run alone.
if (process.env.NEBULA_TEST_LONG === "1") {
  for (const version of KAFKA_VERSIONS) {
    describe(`Kafka ${version} with TLS and logins`, function () {
      this.timeout(150_000);
      describeLogins(version);
    });
  }
}

function describeLogins(version: string): void {
  let authority: TestAuthority;
  let otherAuthority: TestAuthority;
  let client: Issued;
  let server: SecureKafka;
  before("start Kafka", async function () {
    await requireDocker(this);
    [authority, otherAuthority] = await Promise.all([TestAuthority.make(), TestAuthority.make()]);
    client = await authority.issue("nebula");
    server = await startSecureKafka(version, authority, PASSWORD);
  });
  after(async () => {
    await server?.container[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await otherAuthority?.[Symbol.asyncDispose]();
  });

  const options = (address: string, parameters: string, login: Partial<BackendLogin> = {}) => ({
    url: `kafka://${address}/${freshTopic()}?partitions=2${parameters}`,
    login: { password: undefined, ca: undefined, ...login },
    clock: systemClock,
    log: silentLog,
    signal: never,
  });
  type Options = ReturnType<typeof options>;

  const overTls = (mechanism: Mechanism, login: Partial<BackendLogin> = {}) =>
    options(server.login, `&tls=true&user=${server.user}&mechanism=${mechanism}`, { password: PASSWORD, ca: authority.caFile, ...login });
  const inClearText = (mechanism: Mechanism, password = PASSWORD) =>
    options(server.clear, `&user=${server.user}&mechanism=${mechanism}`, { password });

  async function assertCarries(given: Options): Promise<void> {
    await migrateReportBus(given);
    await using bus = await openReportBus({ ...given, registry: new Registry() });
    await using reader = collect(bus);
    await reader.joined;
    await bus.publish({ key: "device-a", value: Buffer.from("x") }, never);
    await eventually(() => reader.seen.length === 1);
  }

  /** Asserts that a start ends with a message, and shows no password. */
  async function assertEndsStart(given: Options): Promise<void> {
    const refused = (error: unknown) =>
      isNebulaError(error, "failed_precondition") && /Kafka refused/.test(error.message) && !/hunter2|a password of/.test(error.message);
    await assert.rejects(migrateReportBus(given), refused);
    await assert.rejects(openReportBus({ ...given, registry: new Registry() }), refused);
  }

  /** Asserts that nothing is sent to a server: it counts as unreachable, for this reason. */
  async function assertUnreachable(given: Options, reason = /./): Promise<void> {
    const unreachable = (error: unknown) => isNebulaError(error, "unavailable") && reason.test(error.message);
    await assert.rejects(migrateReportBus(given), unreachable);
    await using bus = await openReportBus({ ...given, registry: new Registry() });
    await assert.rejects(bus.publish({ key: "device-a", value: Buffer.from("x") }, never), unreachable);
  }

  it("the broker is of the version in its name", async () => {
    assert.match(await eventually(() => server.container.run("cat /tmp/kafka/1.log | grep 'Kafka version'")), new RegExp(version));
  });

  for (const mechanism of MECHANISMS) {
    it(`the broker carries reports for a user and password over TLS: ${mechanism}`, () => assertCarries(overTls(mechanism)));

    it(`a wrong password ends the start, and is not shown: ${mechanism}`, () => assertEndsStart(overTls(mechanism, { password: "hunter2" })));
  }

  it("the broker carries reports for a user and password in clear text: plain, scram-sha-256", async () => {
    for (const mechanism of ["plain", "scram-sha-256"] satisfies Mechanism[]) await assertCarries(inClearText(mechanism));
  });

  it("a mechanism that the broker does not take ends the start: scram-sha-512", () => assertEndsStart(inClearText("scram-sha-512")));

  it("the broker carries reports for a client that shows a certificate", () =>
    assertCarries(options(server.certificate, "&tls=true", { ca: authority.caFile, cert: client.certFile, key: client.keyFile })));

  it("the broker is unreachable for a client without the certificate that it asks for, or with one of another authority", async () => {
    const foreign = await otherAuthority.issue("nebula");
    const { caFile: ca } = authority;
    await assertUnreachable(options(server.certificate, "&tls=true", { ca }));
    await assertUnreachable(options(server.certificate, "&tls=true", { ca, cert: foreign.certFile, key: foreign.keyFile }));
  });

  it("the broker is used by no client where its certificate is of another authority than the given one, or of none that comes with Node", async () => {
    for (const ca of [otherAuthority.caFile, undefined]) await assertUnreachable(overTls("plain", { ca }), /certificate/);
  });
}
