import { strict as assert } from "node:assert";
import { SideNotes } from "./side-notes.ts";

describe("side notes", () => {
  it("side notes are kept by object, apart from those of others, and replaced", () => {
    const [texts, numbers] = [new SideNotes<object, string>("text"), new SideNotes<object, number>("number")];
    const [one, other] = [{}, new Uint8Array(3)];
    texts.set(one, "a");
    texts.set(other, "b");
    numbers.set(one, 1);
    texts.set(one, "c");
    assert.deepEqual([texts.get(one), texts.get(other), numbers.get(one), numbers.get(other), texts.get({})], ["c", "b", 1, undefined, undefined]);
  });

  it("side notes are not listed with the properties of an object, and not copied with them", () => {
    const notes = new SideNotes<object, string>("text");
    const noted = { a: 1 };
    notes.set(noted, "secret");
    assert.deepEqual(noted, { a: 1 });
    assert.equal(JSON.stringify(noted), '{"a":1}');
    assert.equal(notes.get({ ...noted }), undefined);
    assert.equal(notes.get(Object.assign({}, noted)), undefined);
  });

  it("an object that takes no properties has no side note", () => {
    const notes = new SideNotes<object, string>("text");
    const frozen = Object.freeze({});
    notes.set(frozen, "a");
    assert.equal(notes.get(frozen), undefined);
  });
});
