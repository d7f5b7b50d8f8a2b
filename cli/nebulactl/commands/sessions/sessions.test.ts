import { strict as assert } from "node:assert";
import { createClient } from "@connectrpc/connect";
import { eventually } from "../../../../common/testing/eventually.ts";
import { AccessService } from "../../../../gen/nebula/v1/access_pb.ts";
import { connectTo } from "../../connection/transport.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl on sessions", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server[Symbol.asyncDispose]());

  const { run, printed, refused } = asAdmin(() => server);

  /** As a browser does. */
  async function makeSession(credentials: Parameters<typeof connectTo>[0]["credentials"]): Promise<{ id: string; token: string }> {
    const transport = await connectTo({ server: readServerUrl(server.http, "test"), serverFrom: "test", credentials, credentialsFrom: "test" });
    const { session, token } = await createClient(AccessService, transport).createSession({});
    return { id: session?.id ?? assert.fail(), token };
  }
  const getsIn = async (token: string) => (await run("ping", { env: { NEBULA_TOKEN: token } })).code === 0;

  it("nebulactl lists sessions, of all or of a user, and ends one", async () => {
    assert.deepEqual(JSON.parse(await printed("sessions list -o json")), []);
    assert.equal((await run("users create ann --token-stdin", { stdin: "a-token-of-ann-0001\n" })).code, 0);
    const ofAdmin = await makeSession({ kind: "password", user: ADMIN.user, password: ADMIN.password });
    const ofAnn = await eventually(() => makeSession({ kind: "token", token: "a-token-of-ann-0001" }));
    const list = await printed("sessions list");
    assert.match(list, /^ID +USER +MADE +WITH +FROM +EXPIRES IN\n/);
    assert.match(list, new RegExp(`^${ofAnn.id} +ann +\\d+ s ago +token +127\\.0\\.0\\.1 +1[12] h`, "m"));
    assert.match(list, new RegExp(`^${ofAdmin.id} +admin +\\d+ s ago +password `, "m"));
    assert.ok(!list.includes(ofAnn.token));
    assert.ok(!(await printed("sessions list --user ann")).includes(ofAdmin.id));
    const own = await run("sessions list -o json", { env: { NEBULA_TOKEN: ofAnn.token } });
    const [first, ...others] = JSON.parse(own.out);
    assert.deepEqual([first.id, first.current, others], [ofAnn.id, true, []]);
    assert.ok(await getsIn(ofAnn.token));
    assert.equal(await printed(`session delete ${ofAnn.id} --yes`), `session ${ofAnn.id} ended\n`);
    await eventually(async () => !(await getsIn(ofAnn.token)));
    await refused(`sessions delete ${ofAnn.id}`, /error: there is no session "[0-9a-f]{16}"/);
    await refused("sessions delete 12", /error: id: is not the id of a session/);
    await printed("users delete ann --yes");
  });
}).timeout(60_000);
