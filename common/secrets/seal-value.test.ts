import { strict as assert } from "node:assert";
import fc from "fast-check";
import { fingerprintOf, openValue, type SecretPlace, sealValue } from "./seal-value.ts";
import { displayOf, isDisplay, looksSealed, parseSealed, sealedLength } from "./sealed-text.ts";
import { deriveSecretKeys } from "./secret-keys.ts";

const keys = deriveSecretKeys("cluster key of a test");
const others = deriveSecretKeys("cluster key of another test");
const place: SecretPlace = { kind: "app", name: "web", variable: "TOKEN" };

const wellFormed = fc.string({ unit: "binary", maxLength: 200 }).filter((text) => text.isWellFormed());
const places: fc.Arbitrary<SecretPlace> = fc.record({
  kind: fc.constantFrom<("app" | "cron_job")[]>("app", "cron_job"),
  name: fc.constantFrom("web", "api"),
  variable: fc.constantFrom("TOKEN", "TOKEN2", 'a","b'),
});

describe("a sealed value", () => {
  it("a sealed value opens to the text that was sealed, and has the predicted length", () => {
    fc.assert(
      fc.property(places, wellFormed, (at, value) => {
        const text = sealValue(keys, at, value);
        assert.deepEqual(openValue(keys, at, text), { kind: "opened", value });
        assert.ok(looksSealed(text));
        assert.equal(text.length, sealedLength(value));
        assert.equal(displayOf(text), `secret:${fingerprintOf(keys, at, value)}`);
        assert.ok(isDisplay(displayOf(text)));
      }),
    );
  });

  it("a sealed value does not open at another place or under another key", () => {
    fc.assert(
      fc.property(places, places, wellFormed, (at, elsewhere, value) => {
        const text = sealValue(keys, at, value);
        assert.equal(openValue(others, at, text).kind, "unreadable");
        const same = JSON.stringify(at) === JSON.stringify(elsewhere);
        assert.equal(openValue(keys, elsewhere, text).kind, same ? "opened" : "unreadable");
      }),
    );
  });

  it("a sealed value does not open when any of its characters was changed", () => {
    const text = sealValue(keys, place, "hunter2");
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === "0" ? "1" : "0"}${text.slice(at + 1)}`;
      const parsed = parseSealed(changed);
      // the last character of base64url may hold bits that stand for nothing
      if (parsed?.payload.equals(parseSealed(text)?.payload ?? Buffer.alloc(0)) && at === text.length - 1) continue;
      assert.equal(openValue(keys, place, changed).kind, "unreadable", `character ${at}`);
    }
    for (const broken of ["", "hunter2", "nebula-sealed:2:x", `nebula-sealed:1:${keys.id}:00000000:AAAA`]) {
      const opened = openValue(keys, place, broken);
      assert.ok(opened.kind === "unreadable" && !opened.reason.includes("hunter2"), broken);
    }
  });

  it("a sealed value never looks the same twice, and never holds the value", () => {
    const texts = new Set(Array.from({ length: 100 }, () => sealValue(keys, place, "hunter2")));
    assert.equal(texts.size, 100);
    for (const text of texts) assert.ok(!Buffer.from(text, "base64url").includes("hunter2"));
    assert.equal(new Set([...texts].map(displayOf)).size, 1, "but is shown the same");
  });

  it("a sealed value is displayed differently at another place and under another key, so that equal values don't look equal", () => {
    const shown = (["app", "cron_job"] as const).flatMap((kind) =>
      ["web", "api"].flatMap((name) =>
        ["A", "B"].flatMap((variable) => [keys, others].map((one) => displayOf(sealValue(one, { kind, name, variable }, "hunter2")))),
      ),
    );
    assert.equal(new Set(shown).size, 16);
  });
});

describe("the keys of secret values", () => {
  it("the keys of secret values never change: others would open nothing of what is stored", () => {
    assert.equal(keys.id, "4967bf7e");
    assert.equal(fingerprintOf(keys, place, "hunter2"), "dddabc5c");
  });
});
