import { strict as assert } from "node:assert";
import { type Started, startLines } from "./run-parts.ts";

const started: Started = {
  settings: { admin: { user: "admin", password: undefined, token: undefined }, authEnabled: true, dashboard: true, tls: { cert: undefined } },
  http: { host: "127.0.0.1", port: 8080 },
  grpc: "127.0.0.1:50051",
  metrics: { host: "127.0.0.1", port: 9464 },
  secrets: { adminPassword: "hunter2", passwordFile: { path: "data/admin-password", made: true } },
  terminal: true,
};

function login(change: Partial<Started>): string {
  return startLines({ ...started, ...change }).find((line) => line.includes("login")) ?? "";
}

describe("what a start tells", () => {
  it("a start prints every address", () => {
    const text = startLines(started).join("\n");
    for (const address of ["http://127.0.0.1:8080", "127.0.0.1:50051", "http://127.0.0.1:9464/metrics"]) assert.ok(text.includes(address), address);
    assert.doesNotMatch(startLines({ ...started, metrics: undefined }).join("\n"), /metrics/);
  });

  it("a start prints the address of the dashboard, unless that is off", () => {
    assert.ok(startLines(started).some((line) => line.endsWith("http://127.0.0.1:8080/ui/")));
    assert.doesNotMatch(startLines({ ...started, settings: { ...started.settings, dashboard: false } }).join("\n"), /dashboard|\/ui\//);
  });

  it("a start prints where TLS is spoken", () => {
    const text = startLines({ ...started, settings: { ...started.settings, tls: { cert: "server.pem" } } }).join("\n");
    for (const address of ["https://127.0.0.1:8080", "grpcs://127.0.0.1:50051"]) assert.ok(text.includes(address), address);
  });

  it("a start prints the password to a terminal, if it made it, and else where it is kept", () => {
    assert.match(login({}), /admin, password hunter2 \(shown only once; kept in data\/admin-password\)/);
    const { secrets } = started;
    const again = { adminPassword: "hunter2", passwordFile: { path: "data/admin-password", made: false } };
    for (const line of [login({ terminal: false }), login({ secrets: again }), login({ secrets: again, terminal: false })]) {
      assert.match(line, /admin, password in data\/admin-password/);
      assert.doesNotMatch(line, /hunter2/);
    }
    assert.ok(secrets);
    assert.doesNotMatch(login({ secrets: { ...secrets, passwordFile: undefined } }), /hunter2/);
  });

  it("a start prints that every caller is admin", () => {
    assert.match(login({ settings: { ...started.settings, authEnabled: false } }), /none: everybody is admin/);
  });
});
