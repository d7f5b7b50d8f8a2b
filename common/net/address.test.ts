import { strict as assert } from "node:assert";
import { formatAddress, isLoopback, isUnspecified, withoutMapping } from "./address.ts";

describe("network addresses", () => {
  it("addresses are loopback in any notation, IPv4-mapped IPv6 addresses included", () => {
    for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1"]) assert.equal(isLoopback(host), true, host);
    for (const host of ["::ffff:127.0.0.1", "::FFFF:127.1.2.3", "::ffff:7f00:1", "0:0:0:0:0:0:0:1", "0000::0001"])
      assert.equal(isLoopback(host), true, host);
  });

  it("addresses are not loopback if others can reach them, or if they are names", () => {
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "fe80::1"]) assert.equal(isLoopback(host), false, host);
    for (const host of ["", "127.0.0.1.example.com", "localhost.example.com", "127.1"]) assert.equal(isLoopback(host), false, host);
  });

  it("addresses are unspecified in any notation, an empty text excluded", () => {
    for (const host of ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"]) assert.equal(isUnspecified(host), true, host);
    for (const host of ["", "127.0.0.1", "::1", "a.example"]) assert.equal(isUnspecified(host), false, host);
  });

  it("addresses lose their IPv6 mapping, and nothing else", () => {
    assert.equal(withoutMapping("::ffff:192.0.2.1"), "192.0.2.1");
    for (const text of ["192.0.2.1", "::ffff:999.0.0.1", "2001:db8::1", ""]) assert.equal(withoutMapping(text), text);
  });

  it("addresses are written with a port, an IPv6 address in brackets", () => {
    assert.equal(formatAddress({ host: "::1", port: 1 }), "[::1]:1");
    assert.equal(formatAddress({ host: "nebula.example", port: 1 }), "nebula.example:1");
  });
});
