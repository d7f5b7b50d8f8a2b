import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:http";
import { create } from "@bufbuild/protobuf";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { RequestBudget } from "../../../common/listen/request-budget.ts";
import { CreateSessionResponseSchema } from "../../../gen/nebula/v1/access_pb.ts";
import { callerOf, findRoute } from "../../http/exchange.ts";
import { RequestBodies } from "../../http/request-body.ts";
import { loginRoutes } from "./login.ts";

describe("the login of browsers on a gateway that is full", () => {
  it("a login is read and answered where bodies without a login hold all that they may together", async () => {
    const checkLogin = async () => {
      throw new NebulaError("unauthenticated", "this call needs an authorization header");
    };
    const bodies = new RequestBodies(checkLogin, new RequestBudget({ inAll: 1_000_000, beforeLogin: 0 }));
    const made = create(CreateSessionResponseSchema, { session: { user: "ann" }, token: "nbs_of-a-test" });
    const routes = loginRoutes({ pool: { unary: async () => made }, partToken: "part" });
    const server = createServer((request, response) => {
      const [caller, path] = [callerOf(request), request.url ?? ""];
      const exchange = { request, response, caller, path, body: bodies.of({ request, response, caller, path }), route: "none" };
      (async () => findRoute(routes, path)?.handle(exchange))().catch((error) => response.writeHead(401).end(String(error)));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const own = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    const body = JSON.stringify({ user: "ann", password: "correct horse" });
    try {
      const response = await fetch(`${own}/ui/login`, { method: "POST", body, headers: { origin: own } });
      assert.deepEqual([response.status, await response.json()], [200, { user: "ann" }]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
