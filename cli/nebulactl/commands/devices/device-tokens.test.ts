import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { tokenHash } from "../../../../common/access/tokens.ts";
import { enrolmentText } from "../../../../common/insight/text/enrolment-text.ts";
import { commandsBelow } from "../../../../common/testing/doc-commands.ts";
import { TestAuthority } from "../../../../common/testing/test-authority.ts";
import { VERSION } from "../../../../common/version.ts";
import { AccessService, EnrolmentTokenSchema } from "../../../../gen/nebula/v1/access_pb.ts";
import { connectTo } from "../../connection/transport.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";

const INSTALL = readFileSync(new URL("../../../../docs/install.md", import.meta.url), "utf8");

describe("nebulactl on the tokens of devices", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    await printed("device-groups create pos --apps=");
  });
  after(() => server[Symbol.asyncDispose]());

  const { run, printed, refused } = asAdmin(() => server);

  /** As the device does. */
  async function enrol(deviceId: string, token: string, enrolToken: string): Promise<string> {
    const transport = await connectTo({
      server: readServerUrl(server.http, "test"),
      serverFrom: "test",
      credentials: { kind: "token", token: enrolToken },
      credentialsFrom: "test",
    });
    const answer = await createClient(AccessService, transport).enrollDevice({ deviceId, tokenHash: Buffer.from(tokenHash(token), "hex") });
    return answer.deviceGroup;
  }

  /** The lines of a command in an output, without the indentation. */
  const commandIn = (out: string) => /^ {2}docker run .*\n(?: {4}.*\n)+/m.exec(out)?.[0].replaceAll(/^ {2}/gm, "") ?? assert.fail(out);

  it("an enrolment token is made and shown once, with the commands for the device", async () => {
    const out = await printed("devices enroll --device-group pos --uses 3 --expires 7d");
    assert.match(out, /^Enrolment token [0-9a-f]{16} for 3 devices of device_group pos, until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; shown only once:$/m);
    const [, token = ""] = /^ {2}([A-Za-z0-9_-]{43})$/m.exec(out) ?? [];
    assert.ok(out.includes(`  NEBULA_SERVER=${server.http} NEBULA_ENROLL_TOKEN=${token} nebula worker\n`), out);
    assert.ok(!(await printed("devices enrolments -o json")).includes(token));
    assert.ok(out.includes(`nebula-worker:${VERSION}, and in place of 127.0.0.1 the address of the server as seen from there:\n`), out);
    const json = JSON.parse(await printed("devices enrol -d pos -o json"));
    assert.deepEqual(Object.keys(json).sort(), ["enrolment_token", "token"]);
    assert.match(json.token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(json.enrolment_token.uses_left, 1);
    assert.match(await printed("devices enrol -d pos -o yaml"), /^token: \S+\nenrolment_token:\n(?: {2}.*\n)+$/);
  });

  it("the commands for the device are those of docs/install.md, with the authority's file where nebulactl uses one", async () => {
    await using authority = await TestAuthority.make();
    for (const [mark, flags, url] of [
      ["worker", "", "http://server.example.com:8080"],
      ["device with TLS", ` --tls-ca ${authority.caFile}`, "https://server.example.com:8080"],
    ] as const) {
      const out = await printed(`devices enroll --device-group pos${flags}`);
      const [, token = ""] = /^ {2}([A-Za-z0-9_-]{43})$/m.exec(out) ?? [];
      assert.equal(commandIn(out).replaceAll(server.http, url).replaceAll(token, "TOKEN"), commandsBelow(INSTALL, mark));
      assert.equal(out.includes("a copy of the CA file in the current folder as server.pem"), flags !== "");
      assert.equal(/^ {2}NEBULA_TLS_CA=server\.pem NEBULA_SERVER=\S+ NEBULA_ENROLL_TOKEN=\S+ nebula worker$/m.test(out), flags !== "");
    }
  });

  it("the commands for the device pass an IPv6 address of the server through a shell unchanged", () => {
    const token = create(EnrolmentTokenSchema, { id: "5b1f8f0c6f2b9a44", deviceGroup: "pos", usesLeft: 1 });
    const device = { server: "https://[2001:db8::1]:8080", loopback: undefined, ownCa: true, image: `nebula-worker:${VERSION}` };
    const out = enrolmentText(token, "s3cret", device);
    // a shell in which an argument with a pattern that matches no file is an error
    const shell = (script: string) => spawnSync("bash", ["-euO", "failglob", "-c", script], { encoding: "utf8", cwd: "/usr" });
    const run = shell(`docker() { printf '%s\\n' "$@"; }; ${commandIn(out)}`);
    assert.equal(run.status, 0, run.stderr);
    const args = run.stdout.trimEnd().split("\n");
    assert.ok(args.includes("NEBULA_SERVER=https://[2001:db8::1]:8080") && args.includes("/usr/server.pem:/server.pem:ro"), run.stdout);
    assert.deepEqual(args.slice(-2), ["NEBULA_ENROLL_TOKEN=s3cret", `nebula-worker:${VERSION}`]);
    const [plain = ""] = /^ {2}NEBULA_TLS_CA.*$/m.exec(out) ?? [];
    assert.equal(shell(`nebula() { printf %s "$NEBULA_SERVER $1"; }; ${plain}`).stdout, "https://[2001:db8::1]:8080 worker");
  });

  it("the commands for the device name the server and the image that were asked for, quoted for a shell", async () => {
    const flags = ["--server-for-devices", "https://nebula.example.com", "--image", "registry.example.com/worker:$1"];
    const out = await printed(["devices", "enroll", "-d", "pos", ...flags]);
    assert.match(out, /-e NEBULA_SERVER=https:\/\/nebula\.example\.com:\d+ -e NEBULA_ENROLL_TOKEN=\S+ \\\n +'registry\.example\.com\/worker:\$1'$/m);
    assert.match(out, /^ {2}NEBULA_SERVER=https:\/\/nebula\.example\.com:\d+ NEBULA_ENROLL_TOKEN=\S+ nebula worker$/m);
    assert.ok(!out.includes("127.0.0.1"), out);
    const before = JSON.parse(await printed("devices enrolments -o json")).length;
    await refused("devices enroll -d pos --server-for-devices nowhere:x", /--server-for-devices/);
    assert.equal(JSON.parse(await printed("devices enrolments -o json")).length, before);
  });

  it("enrolment tokens are listed and revoked", async () => {
    const { enrolment_token: made } = JSON.parse(await printed("devices enroll --device-group pos --expires 1h -o json"));
    const line = new RegExp(`^${made.id} +pos +1 +59 min +\\d+ s ago +admin$`, "m");
    assert.match(await printed("devices enrolments"), /^ID +GROUP +USES LEFT +EXPIRES IN +MADE +BY\n/);
    const first = await run("devices enrolments --device_group pos --limit 1");
    assert.match(first.out, line);
    const [, next = ""] = /^showing 1; more with --last-id (\S+)\n$/.exec(first.err) ?? assert.fail(first.err);
    const rest = await printed(`devices enrolments --device_group pos --last-id ${next}`);
    assert.match(rest, /^ID.*\n([0-9a-f]{16} +pos .*\n)+$/);
    assert.doesNotMatch(rest, line);
    assert.equal(await printed(`devices revoke-enrolment ${made.id}`), `enrolment token ${made.id} revoked\n`);
    assert.doesNotMatch(await printed("devices enrolments"), line);
    const again = await run(`devices revoke-enrolment ${made.id}`);
    assert.deepEqual([again.code, /^error: there is no enrolment token/.test(again.err)], [1, true], again.err);
  });

  it("devices that have a token are listed, and a token is revoked", async () => {
    const { token } = JSON.parse(await printed("devices enroll --device-group pos -o json"));
    assert.equal(await enrol("pos-1", "secret of pos-1", token), "pos");
    assert.match(await printed("devices tokens --device-group pos"), /^DEVICE.+\npos-1 +pos +\d+ s ago +[0-9a-f]{16} +never\n$/);
    await refused("devices tokens -d nope", /device_group "?nope/);
    const kept = await run("devices revoke pos-1", { answers: ["n"] });
    assert.match(kept.err, /Delete the token of device pos-1\?.*was not deleted/);
    assert.equal(await printed("devices revoke pos-1 --yes"), "token of device pos-1 revoked\n");
    assert.deepEqual(JSON.parse(await printed("devices tokens -o json")), []);
  });

  it("invalid arguments of the token commands are refused with the reason", async () => {
    for (const [args, message] of [
      ["devices enroll", /--device-group/],
      ["devices enroll --device-group nope", /there is no device_group "nope"/],
      ["devices enroll --device-group pos --expires never", /invalid --expires "never": use a duration from 1s to 365d/],
      ["devices enroll --device-group pos --expires 0s", /invalid --expires "0s": use a duration/],
      ["devices enroll --device-group pos --uses 0", /invalid --uses "0": use a whole number from 1/],
      ["devices revoke nope", /there is no token of a device "nope"/],
      ["devices revoke-enrolment xyz", /16 hexadecimal digits/],
    ] as const) {
      const { code, out, err } = await run(args);
      assert.equal(out, "");
      assert.notEqual(code, 0);
      assert.match(err, message, args);
    }
  });
});
