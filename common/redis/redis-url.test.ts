import { strict as assert } from "node:assert";
import { isNebulaError } from "../errors/nebula-error.ts";
import { describeTarget, parseRedisUrl } from "./redis-url.ts";

const parse = (url: string) => parseRedisUrl("NEBULA_REDIS", url);
const plain = { user: undefined, password: undefined, database: 0, master: "", tls: false, sentinelLogin: false };

describe("a URL of Redis", () => {
  it("a URL of Redis names a server, with its login and database", () => {
    assert.deepEqual(parse("redis://cache"), { ...plain, mode: "single", nodes: [{ host: "cache", port: 6379 }] });
    assert.deepEqual(parse("redis://[::1]:7000/"), { ...plain, mode: "single", nodes: [{ host: "::1", port: 7000 }] });
    assert.deepEqual(parse("rediss://nebula:p%40ss@cache:6380/3"), {
      ...plain,
      mode: "single",
      nodes: [{ host: "cache", port: 6380 }],
      user: "nebula",
      password: "p@ss",
      database: 3,
      tls: true,
    });
    assert.deepEqual([parse("redis://:secret@h").user, parse("redis://:secret@h").password], [undefined, "secret"]);
  });

  it("a URL of Redis names sentinels and their master", () => {
    assert.deepEqual(parse("redis-sentinel://a,b:26380/mymaster/2?tls=true&sentinel-login=true"), {
      ...plain,
      mode: "sentinel",
      nodes: [
        { host: "a", port: 26_379 },
        { host: "b", port: 26_380 },
      ],
      master: "mymaster",
      database: 2,
      tls: true,
      sentinelLogin: true,
    });
  });

  it("a URL of Redis names nodes of a cluster", () => {
    const nodes = [
      { host: "a", port: 7000 },
      { host: "b", port: 6379 },
    ];
    assert.deepEqual(parse("redis-cluster://user@a:7000,b?tls=true"), { ...plain, mode: "cluster", nodes, user: "user", tls: true });
  });

  it("a URL of Redis is refused with an example, and without its password", () => {
    const wrong = [
      "redis://",
      "redis://a,b",
      "redis://h:0",
      "redis://h:65536",
      "redis://h/x",
      "redis://h/0/1",
      "redis://h?tls=yes",
      "redis://h?database=1",
      "redis-sentinel://a:26379",
      "redis-cluster://a/1",
      "redis://user:hunter2%@h",
      "redis://user:hunter2@h:port",
      "http://h",
    ];
    for (const url of wrong) {
      assert.throws(
        () => parse(url),
        (error) => isNebulaError(error, "invalid_argument") && /NEBULA_REDIS.*; use redis/.test(error.message) && !error.message.includes("hunter2"),
        url,
      );
    }
  });

  it("a URL of Redis is described without its login", () => {
    assert.equal(describeTarget(parse("rediss://nebula:hunter2@cache")), "cache:6379 (TLS)");
    assert.equal(describeTarget(parse("redis-sentinel://:hunter2@a,b/m")), "master m of the sentinels a:26379, b:26379");
  });
});
