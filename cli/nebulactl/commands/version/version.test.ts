import { strict as assert } from "node:assert";
import { VERSION } from "../../../../common/version.ts";
import { nebulactl } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer } from "../../testing/test-server.ts";

describe("nebulactl version", () => {
  it("nebulactl version prints its own version and the server's", async () => {
    await using server = await startTestServer();
    const env = { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token };
    assert.deepEqual(await nebulactl("version", { env }), { code: 0, out: `nebulactl  ${VERSION}\nserver     ${VERSION}\n`, err: "" });
    assert.deepEqual(JSON.parse((await nebulactl("version -o json", { env })).out), { nebulactl: VERSION, server: VERSION });
  });

  it("nebulactl version prints its own version, and fails, where no server answers", async () => {
    const env = { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: ADMIN.token };
    const { code, out, err } = await nebulactl("version", { env });
    assert.deepEqual([code, out], [1, `nebulactl  ${VERSION}\n`]);
    assert.match(err, /^error: nothing answers at http:\/\/127\.0\.0\.1:1 /);
    assert.deepEqual(JSON.parse((await nebulactl("version -o json", { env })).out), { nebulactl: VERSION });
  });
});
