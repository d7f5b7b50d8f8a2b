import { strict as assert } from "node:assert";
import fc from "fast-check";
import { HintSeal, SeenSequences } from "./hint-seal.ts";

const CLUSTER = { id: "0123456789abcdef0123456789abcdef", epoch: 3n };
const text = (opened: { payload: Buffer } | undefined) => opened?.payload.toString();

describe("what is sealed for Redis", () => {
  const one = new HintSeal("a cluster key", CLUSTER);
  const other = new HintSeal("a cluster key", CLUSTER);

  it("a sealed hint opens at any process of the cluster, with its sender and a sequence that rises", () => {
    const [first, second] = ["a", "b"].map((payload) => other.open("feed", one.seal("feed", Buffer.from(payload))));
    assert.deepEqual([text(first), text(second)], ["a", "b"]);
    assert.deepEqual([first?.boot, second?.boot], [one.boot, one.boot]);
    assert.equal((second?.sequence ?? 0n) - (first?.sequence ?? 0n), 1n);
    assert.notEqual(one.boot, other.boot);
    assert.equal(text(one.open("feed", one.seal("feed", Buffer.from("own")))), "own");
  });

  it("a sealed hint does not open for another purpose, cluster, epoch or key, nor where a byte of it differs", () => {
    const sealed = one.seal("config/shops", Buffer.from("secret"));
    assert.equal(other.open("config/pos", sealed), undefined);
    assert.equal(new HintSeal("a cluster key", { ...CLUSTER, epoch: 4n }).open("config/shops", sealed), undefined);
    assert.equal(new HintSeal("a cluster key", { ...CLUSTER, id: "ff".repeat(16) }).open("config/shops", sealed), undefined);
    assert.equal(new HintSeal("another key", CLUSTER).open("config/shops", sealed), undefined);
    for (let at = 0; at < sealed.length; at++) {
      const damaged = Buffer.from(sealed);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      assert.equal(other.open("config/shops", damaged), undefined, `byte ${at}`);
    }
    assert.equal(text(other.open("config/shops", sealed)), "secret");
    assert.ok(!sealed.includes("secret"));
  });

  it("a hint opens no garbage of any length", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.equal(one.open("feed", Buffer.from(bytes)), undefined)));
  });

  it("a hint of a sender without a cluster is opened by those that ask for it, and by others that know no cluster", () => {
    const reporter = new HintSeal("a cluster key", undefined);
    const gateway = new HintSeal("a cluster key", undefined);
    const sealed = reporter.seal("status/shops", Buffer.from("s"));
    assert.equal(one.open("status/shops", sealed), undefined);
    assert.equal(text(one.open("status/shops", sealed, { ofNone: true })), "s");
    assert.equal(text(gateway.open("status/shops", sealed)), "s");
    assert.equal(text(gateway.open("feed", one.seal("feed", Buffer.from("f")))), "f");
  });

  it("sealed names differ for each cluster key", () => {
    assert.equal(one.prefix, other.prefix);
    assert.notEqual(one.prefix, new HintSeal("another key", CLUSTER).prefix);
  });

  it("hints of very many senders open", () => {
    const sealed = Array.from({ length: 2500 }, () => new HintSeal("a cluster key", CLUSTER).seal("feed", Buffer.from("x")));
    for (const each of [...sealed, ...sealed]) assert.equal(text(other.open("feed", each)), "x");
  });
});

describe("sequences of a sender", () => {
  it("sequences are new once each, also where some overtake others by a thousand", () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 1n, max: 900n }), { minLength: 1, maxLength: 300 }), (sequences) => {
        const seen = new SeenSequences();
        const known = new Set<bigint>();
        for (const sequence of sequences) {
          assert.equal(seen.isNew("boot", sequence), !known.has(sequence));
          known.add(sequence);
        }
      }),
    );
  });

  it("sequences far below the highest one are repeats", () => {
    const seen = new SeenSequences();
    for (let sequence = 1n; sequence <= 5000n; sequence++) assert.ok(seen.isNew("boot", sequence));
    for (let sequence = 1n; sequence <= 5000n; sequence++) assert.ok(!seen.isNew("boot", sequence));
    assert.ok(seen.isNew("another boot", 1n));
  });
});
