import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { eventually } from "../common/testing/eventually.ts";
import { LargeRequests } from "./large-requests.ts";

describe("large requests", () => {
  it("are let in as long as there is room for them, small ones always", async () => {
    const large = new LargeRequests({ inAll: 100_000, small: 1000 });
    const held: ServerResponse[] = [];
    const server = createServer((request, response) => {
      if (!large.admits(request, response)) return;
      held.push(response);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    const send = (bytes: number) => fetch(url, { method: "POST", body: "x".repeat(bytes) });

    const first = send(60_000);
    await eventually(() => held.length === 1);
    const refused = await send(60_000);
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /"code":"unavailable","message":"too many large requests/);
    assert.equal(refused.headers.get("retry-after"), "1");
    const small = send(1000);
    await eventually(() => held.length === 2);

    for (const response of held) response.end("here");
    assert.deepEqual(await Promise.all([first, small].map(async (answer) => (await answer).text())), ["here", "here"]);
    const again = send(60_000);
    await eventually(() => held.length === 3);
    held[2]?.end("here");
    assert.equal(await (await again).text(), "here");
    server.closeAllConnections();
    server.close();
  });
});
