import { strict as assert } from "node:assert";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { parseCassandraUrl } from "./cassandra-url.ts";

describe("URLs of Cassandra", () => {
  it("a URL of Cassandra names hosts, keyspace, data center, copies, consistency, TLS and user", () => {
    assert.deepEqual(parseCassandraUrl("NEBULA_STORE", "cassandra://a:9043,b,[::1]:9042/shop?dc=dc1&rf=3&consistency=global&tls=true&user=nebula"), {
      contactPoints: ["a:9043", "b:9042", "[::1]:9042"],
      port: 9043,
      keyspace: "shop",
      dataCenter: "dc1",
      replication: 3,
      consistency: "global",
      tls: true,
      user: "nebula",
    });
    assert.deepEqual(parseCassandraUrl("NEBULA_STORE", "cassandra://a/shop"), {
      contactPoints: ["a:9042"],
      port: 9042,
      keyspace: "shop",
      dataCenter: undefined,
      replication: undefined,
      consistency: "local",
      tls: false,
      user: undefined,
    });
  });

  it("a URL of Cassandra is refused with the reason and an example, and never shown: it may hold a password", () => {
    const cases: [string, RegExp][] = [
      ["cassandra://", /keyspace is missing/],
      ["cassandra://a", /keyspace is missing/],
      ["cassandra://a/Shop", /keyspace .* other characters/],
      ["cassandra:///shop", /a host is missing/],
      ["cassandra://a:70000/shop", /port/],
      ["cassandra://u:hunter2@a/shop", /NEBULA_STORE_PASSWORD/],
      ["cassandra://a/shop?password=hunter2", /unknown parameter "password"/],
      ["cassandra://a/shop?rf=0", /rf "0"/],
      ["cassandra://a/shop?consistency=one", /consistency "one"/],
      ["cassandra://a/shop?tls=yes", /tls "yes"/],
    ];
    for (const [url, message] of cases) {
      assert.throws(
        () => parseCassandraUrl("NEBULA_STORE", url),
        (error) =>
          isNebulaError(error, "invalid_argument") &&
          message.test(error.message) &&
          /^invalid NEBULA_STORE: .*; use cassandra:\/\/host/.test(error.message) &&
          !error.message.includes("hunter2"),
        url,
      );
    }
  });
});
