import { strict as assert } from "node:assert";

/** Holds for a refusal of one field, told in words that match. */
export function invalid(field: string, matches: RegExp): (body: unknown) => void {
  return (body) => {
    const { invalid_parameters: said } = Object(body);
    assert.deepEqual(Object.keys(said), [field]);
    assert.match(said[field], matches);
  };
}
