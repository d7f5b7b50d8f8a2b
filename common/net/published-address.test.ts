import { strict as assert } from "node:assert";
import { isIPv4, isIPv6, SocketAddress } from "node:net";
import fc from "fast-check";
import { addressesOverlap, canonicalAddress, publishedPort } from "./published-address.ts";

/** As Node says it. */
function byNode(text: string): string | undefined {
  if (isIPv4(text)) return text;
  return isIPv6(text) && !text.includes("%") ? new SocketAddress({ address: text, family: "ipv6" }).address : undefined;
}

const word = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("0", "0000", "1", "ffff", "FFFF") },
  fc.nat(0xffff).map((number) => number.toString(16)),
  fc.constantFrom("00001", "g", ""),
);
const dotted = fc.oneof(fc.ipV4(), fc.constantFrom("1.2.3", "1.2.3.256", "01.2.3.4", "0.0.0.0", "1.2.3.4.5"));
const words = fc.array(fc.oneof({ weight: 5, arbitrary: word }, { weight: 1, arbitrary: dotted }), { maxLength: 9 });
const anyText = fc.oneof(
  words.map((parts) => parts.join(":")),
  fc.tuple(words, words).map(([head, tail]) => `${head.join(":")}::${tail.join(":")}`),
  fc.array(fc.constantFrom("0", "0", "ffff", "1"), { minLength: 8, maxLength: 8 }).map((parts) => parts.join(":")),
  fc.ipV6(),
  fc.ipV4(),
  fc.string({ unit: fc.constantFrom(..."0:1.f2%g"), maxLength: 20 }),
);

describe("addresses on which ports are published", () => {
  it("an address has one canonical notation, that of Node, and a text that Node refuses has none", () => {
    let valid = 0;
    const check = fc.property(anyText, (text) => {
      const wanted = byNode(text);
      if (wanted !== undefined) valid++;
      assert.equal(canonicalAddress(text), wanted, text);
    });
    fc.assert(check, { numRuns: 2000 });
    assert.ok(valid > 300, `only ${valid} of the texts are addresses`);
  });

  it("an address is written in its canonical notation", () => {
    assert.deepEqual(["0:0::1", "10.0.0.1", "::FFFF:7f00:1"].map(canonicalAddress), ["::1", "10.0.0.1", "::ffff:127.0.0.1"]);
    for (const text of ["", "localhost", "[::1]", "fe80::1%eth0"]) assert.equal(canonicalAddress(text), undefined, text);
  });

  it("addresses overlap if they are equal, or one stands for all", () => {
    assert.ok(addressesOverlap("", "10.0.0.1") && addressesOverlap("10.0.0.1", "0.0.0.0") && addressesOverlap("::1", "::1"));
    assert.ok(!addressesOverlap("10.0.0.1", "10.0.0.2"));
  });

  it("a published port is written as on the command line of Docker", () => {
    assert.deepEqual([publishedPort("", 80), publishedPort("127.0.0.1", 80), publishedPort("::1", 80)], ["80", "127.0.0.1:80", "[::1]:80"]);
  });
});
