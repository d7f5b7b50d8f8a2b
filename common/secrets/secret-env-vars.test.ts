import { strict as assert } from "node:assert";
import { isNebulaError } from "../errors/nebula-error.ts";
import { sealValue } from "./seal-value.ts";
import { displayOf, looksSealed } from "./sealed-text.ts";
import { keepStored, maskSecretEnvVars, openSecretEnvVars, type SecretEnvVars, type SecretOwner, sealSecretEnvVars } from "./secret-env-vars.ts";
import { deriveSecretKeys } from "./secret-keys.ts";

const keys = deriveSecretKeys("cluster key of a test");
const web: SecretOwner = { kind: "app", name: "web" };

function sealed(values: Readonly<SecretEnvVars>, owner = web, under = keys): SecretEnvVars {
  const map = { ...values };
  sealSecretEnvVars(under, owner, map);
  return map;
}

/** Returns the variables as they are kept, and the names of those that are refused. */
function kept(given: SecretEnvVars, stored: SecretEnvVars): { kept: SecretEnvVars; refused: string[] } {
  const violations = keepStored(keys, web, given, stored);
  return { kept: given, refused: violations.map(({ field }) => field) };
}

describe("secret_env_vars", () => {
  it("secret_env_vars are sealed once, and open to what they were", () => {
    const stored = sealed({ A: "one", B: "" });
    assert.ok(Object.values(stored).every(looksSealed));
    const again: SecretEnvVars = { ...stored, C: "new" };
    sealSecretEnvVars(keys, web, again);
    assert.deepEqual({ A: again.A, B: again.B }, { A: stored.A, B: stored.B });
    openSecretEnvVars(keys, web, again);
    assert.deepEqual(again, { A: "one", B: "", C: "new" });
  });

  it("secret_env_vars are kept to the byte where their display, or the same value, is written back", () => {
    const stored = sealed({ A: "one", B: "two", C: "three" });
    const shown = { ...stored };
    maskSecretEnvVars(shown);
    assert.deepEqual(kept(shown, stored), { kept: stored, refused: [] });
    assert.deepEqual(kept({ A: "one", B: "two", C: stored.C ?? "" }, stored), { kept: stored, refused: [] });
    assert.deepEqual(kept({ A: "other", B: displayOf(stored.B ?? "") }, stored), { kept: { A: "other", B: stored.B }, refused: [] });
  });

  it("secret_env_vars refuse the display of another variable, app or value", () => {
    const stored = sealed({ A: "one", B: "one" });
    const shown = (text: string | undefined) => displayOf(text ?? "");
    const elsewhere = shown(sealed({ A: "one" }, { kind: "app", name: "api" }).A);
    assert.deepEqual(kept({ A: shown(stored.B) }, stored).refused, ["secret_env_vars.A"]);
    assert.deepEqual(kept({ A: elsewhere }, stored).refused, ["secret_env_vars.A"]);
    assert.deepEqual(kept({ A: "secret:00000000" }, {}).refused, ["secret_env_vars.A"]);
    assert.deepEqual(kept({ constructor: "secret:00000000" }, {}).refused, ["secret_env_vars.constructor"]);
    const [violation] = keepStored(keys, web, { A: elsewhere }, stored);
    assert.match(violation?.description ?? "", /is the display of a value, not a value/);
  });

  it("secret_env_vars refuse a text that passes for a sealed value, and don't repeat it", () => {
    const stolen = sealed({ A: "one" }, { kind: "app", name: "api" }).A ?? "";
    const violations = keepStored(keys, web, { A: stolen, B: "nebula-sealed:9:later" }, sealed({ A: "one" }));
    assert.deepEqual(
      violations.map(({ field }) => field),
      ["secret_env_vars.A", "secret_env_vars.B"],
    );
    for (const { description } of violations) assert.ok(!description.includes(stolen));
  });

  it("secret_env_vars can be read, kept and replaced without the key that opens them", () => {
    const stored = sealed({ A: "one" }, web, deriveSecretKeys("a lost cluster key"));
    const shown = { ...stored };
    maskSecretEnvVars(shown);
    assert.match(shown.A ?? "", /^secret:[0-9a-f]{8}$/);
    assert.deepEqual(kept(shown, stored), { kept: stored, refused: [] });
    assert.deepEqual(kept({ A: "new" }, stored), { kept: { A: "new" }, refused: [] });
    assert.throws(
      () => openSecretEnvVars(keys, web, { ...stored }),
      (error) => isNebulaError(error, "failed_precondition") && /secret_env_vars\.A of app web can't be opened: .*cluster key/.test(error.message),
    );
  });

  it("secret_env_vars are never shown plain, not even where the store holds them so", () => {
    const damaged = { A: "plain", B: sealValue(keys, { ...web, variable: "B" }, "x").slice(0, 20) };
    maskSecretEnvVars(damaged);
    assert.deepEqual(damaged, { A: "secret:unreadable", B: "secret:unreadable" });
  });
});
