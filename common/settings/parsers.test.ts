import { strict as assert } from "node:assert";
import fc from "fast-check";
import {
  durationBetween,
  formatDuration,
  knownDuration,
  type Parsed,
  parseBool,
  parseDuration,
  parseHostAndPort,
  parseListenAddress,
  parseListenAddressOrOff,
  wholeNumber,
} from "./parsers.ts";
import { carriesPassword, driverUrl, parseManagers, parseServerUrl, withoutPassword } from "./urls.ts";

function taken<T>(parsed: Parsed<T>): T {
  return parsed.kind === "value" ? parsed.value : assert.fail(parsed.problem);
}

function isWrong(parsed: Parsed<unknown>): boolean {
  return parsed.kind === "wrong" && parsed.problem.length > 10;
}

describe("a duration", () => {
  it("a duration is a number with a unit, or several", () => {
    assert.equal(knownDuration("10s"), 10_000);
    assert.equal(knownDuration("250ms"), 250);
    assert.equal(knownDuration("1h30m"), 5_400_000);
    assert.equal(knownDuration("1.5h"), 5_400_000);
    assert.equal(knownDuration("2d"), 172_800_000);
    assert.equal(knownDuration("0"), 0);
    for (const text of ["", "10", "s", "-1s", "1 s", "1y", "1e3s", "10s!"]) assert.ok(isWrong(parseDuration(text)), text);
  });

  it("a duration is read as it was written", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 1e12 }), (ms) => assert.equal(knownDuration(formatDuration(ms)), ms)));
  });

  it("a duration is held to its bounds, which the refusal names", () => {
    const parse = durationBetween("10s", "30m");
    assert.equal(taken(parse("10s")), 10_000);
    assert.equal(taken(parse("30m")), 1_800_000);
    assert.deepEqual(parse("9999ms"), { kind: "wrong", problem: "is too short; use 10s to 30m" });
    assert.deepEqual(parse("1h"), { kind: "wrong", problem: "is too long; use 10s to 30m" });
  });
});

describe("a listen address", () => {
  it("a listen address is host:port, an IPv6 address in brackets", () => {
    assert.deepEqual(taken(parseListenAddress("127.0.0.1:8080")), { host: "127.0.0.1", port: 8080 });
    assert.deepEqual(taken(parseListenAddress("[::1]:0")), { host: "::1", port: 0 });
    assert.equal(taken(parseListenAddressOrOff("off")), undefined);
    for (const text of ["8080", ":8080", "::1:8080", "host", "host:70000", "[host]:1", "http://host:1", "host:1/"]) {
      assert.ok(isWrong(parseListenAddress(text)), text);
    }
  });
});

describe("a server's URL", () => {
  it("a server's URL says protocol, host and port", () => {
    assert.deepEqual(taken(parseServerUrl("http://h")), { protocol: "http", host: "h", port: 80 });
    assert.deepEqual(taken(parseServerUrl("https://h/")), { protocol: "https", host: "h", port: 443 });
    assert.deepEqual(taken(parseServerUrl("grpc://10.0.0.1")), { protocol: "grpc", host: "10.0.0.1", port: 50051 });
    assert.deepEqual(taken(parseServerUrl("grpcs://[fe80::1]:1")), { protocol: "grpcs", host: "fe80::1", port: 1 });
    for (const text of ["", "h", "h:80", "ftp://h", "http://", "http://h/path", "http://h:0", "http://h:99999", "http://u:p@h", "http://h?x=1"]) {
      assert.ok(isWrong(parseServerUrl(text)), text);
    }
  });

  it("a server's URL may name several managers", () => {
    assert.deepEqual(taken(parseManagers("grpc://a:1, b:2,")), [
      { protocol: "grpc", host: "a", port: 1 },
      { protocol: "grpc", host: "b", port: 2 },
    ]);
    for (const text of ["", ",", "http://a:1", "grpc://a:1,grpc://b:x"]) assert.ok(isWrong(parseManagers(text)), text);
  });
});

describe("a driver's URL", () => {
  it("a driver's URL has a known scheme, and an address where the driver needs one", () => {
    const parse = driverUrl(["memory:"], ["redis://"], "memory: or redis://host");
    assert.equal(taken(parse("memory:")), "memory:");
    assert.equal(taken(parse("redis://h:1")), "redis://h:1");
    for (const text of ["", "memory", "memory:x", "redis://", "amqp://h"]) assert.ok(isWrong(parse(text)), text);
  });
});

describe("a password in a URL", () => {
  it("a password in a URL is found, and made unreadable", () => {
    for (const [url, shown] of [
      ["redis://u:secret@h:1/0", "redis://u:***@h:1/0"],
      ["redis://:secret@h", "redis://:***@h"],
      ["redis://u:se/cr@et@h", "redis://u:***@h"],
      ["cassandra://h/k?dc=a&password=secret&user=u", "cassandra://h/k?dc=a&password=***&user=u"],
    ] as const) {
      assert.ok(carriesPassword(url), url);
      assert.equal(withoutPassword(url), shown);
    }
    for (const url of ["redis://u@h:1", "kafka://a:9092,b:9092/t", "cassandra://h:9042/k?user=a@b", "sqlite:/var/lib/a:b@c"])
      assert.ok(!carriesPassword(url), url);
  });
});

describe("a word", () => {
  it("a word is one of the known ones", () => {
    for (const text of ["true", "ON", "yes", "1"]) assert.equal(taken(parseBool(text)), true);
    for (const text of ["False", "off", "no", "0"]) assert.equal(taken(parseBool(text)), false);
    assert.ok(isWrong(parseBool("")));
    assert.equal(taken(wholeNumber(0, 10)("10")), 10);
    for (const text of ["11", "-1", "1.5", "", "0x1"]) assert.ok(isWrong(wholeNumber(0, 10)(text)), text);
    assert.equal(taken(parseHostAndPort("h:1")), "h:1");
    for (const text of ["h", "h:0", "h:99999", "u@h:1", "h:1/x"]) assert.ok(isWrong(parseHostAndPort(text)), text);
  });
});
