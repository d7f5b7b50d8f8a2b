import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import { Socket } from "node:net";
import fc from "fast-check";
import { createLog, type Log, silentLog } from "../log/log.ts";
import { eventually } from "../testing/eventually.ts";
import { ConnectionLimiter } from "./connection-limiter.ts";
import { sharedLimits, withinOpenFiles } from "./open-files.ts";

class FakeSocket extends Socket {
  constructor(address: string) {
    super();
    Object.defineProperty(this, "remoteAddress", { value: address });
  }
}

describe("connection limits", () => {
  it("connection limits hold in all and for each address, for any order of connects and closes", () => {
    const addresses = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "127.0.0.1"];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...addresses), fc.nat(20)), { maxLength: 60 }), (steps) => {
        const limiter = new ConnectionLimiter({ limits: { inAll: 10, perAddress: 3 }, name: "GRPC", log: silentLog });
        const open: FakeSocket[] = [];
        /** By what it is counted: the second is the first in another notation, the fifth is of the fourth's /64. */
        const counted = (address = "") => ({ 1: 0, 4: 3 })[addresses.indexOf(address)] ?? addresses.indexOf(address);
        for (const step of steps) {
          if (typeof step === "number") {
            const [gone] = open.splice(step % Math.max(1, open.length), 1);
            gone?.emit("close");
            continue;
          }
          const socket = new FakeSocket(step);
          const own = open.filter(({ remoteAddress }) => counted(remoteAddress) === counted(step)).length;
          const expected = open.length < 10 && (step === "127.0.0.1" || own < 3);
          assert.equal(limiter.admits(socket), expected);
          assert.equal(socket.destroyed, !expected);
          if (expected) open.push(socket);
          assert.equal(limiter.open, open.length);
        }
      }),
    );
  });

  it("connection limits log once a minute what is refused, and which setting it is", () => {
    const lines: string[] = [];
    const log: Log = createLog({ level: "info", part: "test", destination: { write: (line: string) => void lines.push(line) } });
    let now = 0;
    const limiter = new ConnectionLimiter({ limits: { inAll: 5, perAddress: 1 }, name: "HTTP", log, now: () => now });
    for (let count = 0; count < 100; count++) limiter.admits(new FakeSocket("192.0.2.1"));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? "", /NEBULA_HTTP_CONNECTIONS_PER_ADDRESS is reached/);
    now += 60_000;
    limiter.admits(new FakeSocket("192.0.2.1"));
    assert.equal(JSON.parse(lines[1] ?? "").refused, 99);
  });

  it("a server closes a connection that is one too many, and accepts one that comes after another has left", async () => {
    const server = createServer((_request, response) => response.end("here"));
    new ConnectionLimiter({ limits: { inAll: 2, perAddress: 2 }, name: "HTTP", log: silentLog }).guard(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const dial = async () => {
      const socket = new Socket().on("error", () => {});
      socket.connect(port, "127.0.0.1");
      await once(socket, "connect");
      return socket;
    };
    const first = await dial();
    const second = await dial();
    const third = await dial();
    await once(third.resume(), "close");
    first.destroy();
    await eventually(async () => (await (await fetch(`http://127.0.0.1:${port}`)).text()) === "here");
    second.destroy();
    server.closeAllConnections();
    server.close();
  });

  it("connection limits leave open files for the rest of the process", () => {
    const grpc = { inAll: 1_000_000, perAddress: 5000 };
    const http = { inAll: 10_000, perAddress: 1000 };
    assert.equal(withinOpenFiles(grpc, undefined).inAll, 1_000_000);
    assert.equal(withinOpenFiles(grpc, 20_000).inAll, 19_936);
    assert.equal(withinOpenFiles(http, 1_000_000).inAll, 10_000);
    const shared = sharedLimits(grpc, http, 20_000);
    assert.equal(shared.http.inAll, 5000);
    assert.equal(shared.grpc.inAll, 14_936);
    assert.ok(shared.http.inAll + shared.grpc.inAll < 20_000);
  });
});
