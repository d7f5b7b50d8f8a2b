import { strict as assert } from "node:assert";
import { asAdmin } from "../testing/as-admin.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";

describe("a device_group that does not exist", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());
  const { run } = asAdmin(() => server);

  for (const command of [
    "device-groups info nope",
    "device-groups update nope --apps []",
    "device-groups delete nope --yes",
    "get device-groups nope",
    "devices list -d nope",
    "devices count -d nope",
    "reports -d nope",
    "drift -d nope",
    "overview -d nope",
    "prune --device-group nope",
    "history device_group/nope",
    "rollback device_group/nope --yes",
    "status device_group/nope",
  ]) {
    it(`nebulactl ${command} says that there is no such device_group in the one sentence for it`, async () => {
      const sentence = 'error: there is no device_group "nope": create it, or look for its name in the list\n';
      assert.deepEqual(await run(command), { code: 1, out: "", err: sentence });
    });
  }
});
