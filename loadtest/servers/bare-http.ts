import { createServer } from "node:http";

/**
 * The floor of the runtime: node:http that answers every request of any caller with the same bytes. Run by the bench, which says first what they are:
 * {kind: "answer", headers, body}.
 */

type Answer = Readonly<{ kind: "answer"; headers: readonly string[]; body: string }>;

process.on("disconnect", () => process.exit());

process.once("message", ({ headers, body }: Answer) => {
  const server = createServer({ keepAliveTimeout: 65_000 }, (_request, response) => {
    response.writeHead(200, [...headers]).end(body, "latin1");
  });
  server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
    const address = server.address();
    if (typeof address === "object" && address !== null) process.send?.({ kind: "ready", port: address.port });
  });
});
