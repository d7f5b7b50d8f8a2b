import { strict as assert } from "node:assert";
import fc from "fast-check";
import { appFromV2 } from "./entity-from-v2.ts";
import { isJsonObject } from "./fields-from-json.ts";
import { parseV2Json } from "./parse-json.ts";

function envVarsOf(json: string): Readonly<Record<string, string>> {
  const body = parseV2Json(json);
  assert.ok(isJsonObject(body));
  const { message, faults } = appFromV2("web", body);
  assert.deepEqual(faults, []);
  return message.envVars;
}

describe("JSON of v2", () => {
  it("JSON of v2 keeps the text of each number in env_vars", () => {
    const texts = ["12345678901234567890", "1.0", "1e3", "-0", "0.10", "1E400", "3", "-7.5"];
    const json = `{"env_vars": {${texts.map((text, index) => `"V${index}": ${text}`).join(", ")}}}`;
    assert.deepEqual(Object.values(envVarsOf(json)), texts);
  });

  it("JSON of v2 keeps the text of the last number where a name is written twice", () => {
    assert.deepEqual(envVarsOf('{"env_vars": {"A": 1.0, "A": 2.0}}'), { A: "2.0" });
    assert.deepEqual(envVarsOf('{"env_vars": {"A": 1.0, "A": "x"}, "env_vars": {"A": "1.00"}}'), { A: "1.00" });
  });

  it("JSON of v2 keeps other values of env_vars, and numbers of other fields as numbers", () => {
    assert.deepEqual(parseV2Json('{"env_vars": {"A": 1.0, "B": "1.0", "C": null, "D": [1.0]}, "containers_per": {"cpu": 1.0}}'), {
      env_vars: { A: "1.0", B: "1.0", C: null, D: [1] },
      containers_per: { cpu: 1 },
    });
  });

  it("JSON of v2 has any number in env_vars as the text that was written", () => {
    const number = fc.oneof(
      fc.bigInt().map(String),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value.toExponential()),
    );
    fc.assert(fc.property(number, (text) => assert.deepEqual(envVarsOf(`{"env_vars": {"N": ${text}}}`), { N: text })));
  });

  it("JSON of v2 is otherwise parsed as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        assert.deepEqual(parseV2Json(json), JSON.parse(json));
      }),
    );
    assert.throws(() => parseV2Json("{"), SyntaxError);
  });
});
