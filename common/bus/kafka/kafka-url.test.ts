import { strict as assert } from "node:assert";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { parseKafkaUrl } from "./kafka-url.ts";

describe("a URL of Kafka", () => {
  it("a URL of Kafka names brokers, with 9092 as their port, and a topic", () => {
    const { brokers, topic, tls, user, partitions } = parseKafkaUrl("kafka://one,two:9093,[::1]:9094/nebula-reports");
    assert.deepEqual(brokers, ["one:9092", "two:9093", "[::1]:9094"]);
    assert.deepEqual([topic, tls, user, partitions], ["nebula-reports", false, undefined, undefined]);
  });

  it("a URL of Kafka says TLS, a user, a mechanism and partitions", () => {
    const { tls, user, mechanism, partitions } = parseKafkaUrl("kafka://one/t?tls=true&user=nebula&mechanism=SCRAM-SHA-512&partitions=96");
    assert.deepEqual([tls, user, mechanism, partitions], [true, "nebula", "scram-sha-512", 96]);
  });

  it("a URL of Kafka is refused with the part that is wrong, and without the password that it carries", () => {
    const cases: [string, RegExp][] = [
      ["kafka://one", /brokers and a topic are missing; use kafka:\/\/host:9092,host2:9092\/nebula-reports/],
      ["kafka:///topic", /invalid broker ""/],
      ["kafka://one:0/topic", /invalid broker "one:0"/],
      ["kafka://one:70000/topic", /invalid broker "one:70000"/],
      ["kafka://user:hunter2@one/topic", /no login; use \?user=NAME and NEBULA_BUS_PASSWORD/],
      ["kafka://one/a topic", /invalid topic "a topic"/],
      ["kafka://one/..", /invalid topic ".."/],
      ["kafka://one/t?tls=yes", /invalid tls "yes": use true or false/],
      ["kafka://one/t?mechanism=GSSAPI", /Kerberos is not supported; use plain, scram-sha-256, scram-sha-512/],
      ["kafka://one/t?mechanism=digest", /invalid mechanism "digest": it is not known/],
      ["kafka://one/t?partitions=0", /invalid partitions "0": use 1 to 1000/],
      ["kafka://one/t?acks=0", /unknown parameter "acks": use tls, user, mechanism, partitions/],
    ];
    for (const [url, message] of cases) {
      assert.throws(
        () => parseKafkaUrl(url),
        (error) => isNebulaError(error, "invalid_argument") && message.test(error.message) && !error.message.includes("hunter2"),
        url,
      );
    }
  });
});
