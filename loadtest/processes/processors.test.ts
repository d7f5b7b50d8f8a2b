import { strict as assert } from "node:assert";
import { parseProcessorList, splitProcessors } from "./processors.ts";

describe("processors", () => {
  it("processors are read as the kernel writes them", () => {
    assert.deepEqual(parseProcessorList("0"), [0]);
    assert.deepEqual(parseProcessorList("0-2,5,8-9"), [0, 1, 2, 5, 8, 9]);
    assert.deepEqual(parseProcessorList(""), []);
  });

  it("processors are one for the server, the others for the fleet, or none is named", () => {
    assert.deepEqual(splitProcessors([2, 3, 7]), { server: "2", fleet: "3,7" });
    assert.deepEqual(splitProcessors([4]), { server: undefined, fleet: undefined });
  });
});
