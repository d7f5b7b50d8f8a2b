import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { eventually } from "../../../../common/testing/eventually.ts";
import { requireCommand } from "../../../../common/testing/require-command.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

const NEBULACTL = fileURLToPath(new URL("../../../nebulactl.js", import.meta.url));

describe("nebulactl rollback on a pseudo-terminal", function () {
  this.timeout(180_000);
  let server: TestServer;
  before(async function () {
    requireCommand(this, "script", "Debian: bsdutils");
    server = await startTestServer();
  });
  after(() => server?.[Symbol.asyncDispose]());
  const { printed } = asAdmin(() => server);

  /** Runs the program on a terminal of its own and types once the question stands there. */
  async function answered(keys: string): Promise<{ code: number; shown: string }> {
    const env = { ...process.env, NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token, TERM: "dumb" };
    const program = spawn("script", ["-qec", `"${process.execPath}" "${NEBULACTL}" rollback web`, "/dev/null"], { env });
    let shown = "";
    program.stdout.on("data", (chunk: Buffer) => {
      shown += chunk.toString("utf8");
    });
    const ended = once(program, "close");
    await eventually(() => shown.includes("[y/N]"), { timeoutMs: 60_000 });
    program.stdin.write(keys);
    const [code] = await ended;
    return { code, shown: shown.replaceAll("\r", "") };
  }

  it("nebulactl rollback on a pseudo-terminal shows the fields before the question, and follows what is typed", async () => {
    await printed("apps create web --image shop:1");
    await printed("apps update web --image shop:2");
    const plan =
      "app web  would be rolled back 2 -> 3, as revision 1 was\n    docker_image  shop:2 -> shop:1\nreaches no device_group\nRoll back app web to revision 1? [y/N] ";
    for (const [keys, words] of [
      ["n\r", /app web was not rolled back/],
      ["\x03", /interrupted/],
    ] as const) {
      const { code, shown } = await answered(keys);
      assert.ok(code !== 0 && shown.startsWith(plan), shown);
      assert.match(shown, words);
      assert.match(await printed("apps info web"), /^revision +2$/m);
    }
    const { code, shown } = await answered("y\r");
    assert.ok(code === 0 && shown.startsWith(plan), shown);
    assert.match(shown, /\napp web {2}rolled back 2 -> 3, as revision 1 was\n {4}docker_image {2}shop:2 -> shop:1\n$/);
    assert.match(await printed("apps info web"), /^docker_image +shop:1$/m);
  });
});
