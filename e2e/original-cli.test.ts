import { strict as assert } from "node:assert";
import { CONTAINER_ROWS } from "./v2/original-cli-containers.ts";
import { GROUP_ROWS } from "./v2/original-cli-groups.ts";
import { withoutId } from "./v2/row.ts";
import { V2Client } from "./v2/v2-client.ts";

describe("the original's CLI", () => {
  const client = V2Client.describe();

  for (const { command, method, path, body, status, answer } of [...CONTAINER_ROWS, ...GROUP_ROWS]) {
    it(`the original's CLI gets the answer that it got from the original: ${command}`, async () => {
      const headers = { "content-type": "application/json", "cache-control": "no-cache" }; // as its SDK sends them
      const got = await client.send(method, path, body === undefined ? { headers } : { body, headers });
      assert.equal(got.status, status, got.text);
      if (typeof answer === "function") answer(got.body);
      else assert.deepEqual(withoutId(got.body), answer);
    });
  }
});
