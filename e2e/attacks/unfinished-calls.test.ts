import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { eventually } from "../../common/testing/eventually.ts";
import { Server } from "../harness/server.ts";

const METHOD = "/nebula.v1.ReportService/SubmitReports";
/** Methods whose requests are read apart from each other, and the length that a request of them announces. */
const METHODS = [
  { method: METHOD, announced: 1024 * 1024 },
  { method: "/nebula.v1.ConfigService/WatchAndReport", announced: 64 * 1024 },
] as const;
const CONNECTIONS = 6;
const CALLS = 1000;
const BYTES = 60 * 1024;
/** Beside what a server holds without them; they send 360 MB. */
const MOST_MB = 200;

describe("messages that never end", function () {
  this.timeout(180_000);
  let server: Server;
  Server.forSuite({ env: { NEBULA_LOG_LEVEL: "error" } }, async (started) => {
    server = started;
    await server.api.createGroup("pos", []);
  });

  for (const { method, announced } of METHODS) {
    it(`messages that never end hold little memory without a login, and hold no other caller up (${method})`, async () => {
      const body = Buffer.alloc(BYTES);
      body.writeUInt32BE(announced, 1);
      const before = residentMb(server);
      let ended = 0;
      let sent = 0;
      const begin = (session: ClientHttp2Session) => {
        const stream = session.request({ ":method": "POST", ":path": method, "content-type": "application/grpc", te: "trailers" });
        stream.on("error", () => {});
        stream.on("close", () => ended++);
        stream.resume();
        stream.write(body, () => sent++);
      };
      const sessions: ClientHttp2Session[] = [];
      let highest = 0;
      let answered = 0;
      try {
        for (let count = 0; count < CONNECTIONS; count++) {
          const session = connect(`http://127.0.0.1:${server.grpcPort}`);
          session.on("error", () => {});
          sessions.push(session);
          for (let call = 0; call < CALLS; call++) begin(session);
          await eventually(() => ended + sent >= (count + 1) * CALLS * 0.9, { timeoutMs: 30_000 });
          highest = Math.max(highest, residentMb(server));
          await server.api.device("nobody");
          answered++;
        }
        assert.equal(answered, CONNECTIONS, "a caller with a login is answered each time");
        await eventually(() => ended > CONNECTIONS * CALLS * 0.9).catch((error: unknown) => assert.fail(`${ended} were ended: ${error}`));
        console.log(`      ${before} MB before, ${highest} MB at most, ${ended} calls ended`);
        assert.ok(highest - before < MOST_MB, `${before} MB, then ${highest} MB`);
      } finally {
        for (const session of sessions) session.destroy();
      }
      assert.equal(server.program.ended, false, server.program.output);
    });
  }

  it("messages that never end are read further with a login", async () => {
    const session = connect(`http://127.0.0.1:${server.grpcPort}`);
    try {
      const authorization = server.api.headers.authorization ?? "";
      const stream = session.request({ ":method": "POST", ":path": METHOD, "content-type": "application/grpc", te: "trailers", authorization });
      const body = Buffer.alloc(2 * 1024 * 1024);
      body.writeUInt32BE(body.length - 5, 1);
      let status = "";
      for (const event of ["response", "trailers"]) stream.on(event, (headers) => (status = headers["grpc-status"] ?? status));
      stream.resume().end(body);
      await eventually(() => stream.closed);
      assert.equal(status, "3", "two million bytes that are no reports are invalid, and were read");
    } finally {
      session.destroy();
    }
  });
});

function residentMb({ program }: Server): number {
  assert.equal(program.ended, false, program.output);
  const [, kb = "0"] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${program.child.pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kb) / 1024);
}
