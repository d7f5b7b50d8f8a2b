import { strict as assert } from "node:assert";
import { request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { newToken } from "../common/access/tokens.ts";
import { eventually } from "../common/testing/eventually.ts";
import { TestAuthority } from "../common/testing/test-authority.ts";
import { UI_HEADERS } from "../gateway/dashboard/serve/headers.ts";
import { errorOf, linesOf } from "../gateway/testing/gateway-fixture.ts";
import { ADMIN, startManagerRig, TEST_SECRETS } from "../manager/testing/manager-rig.ts";
import { ANN, BrowserLoginRig, cookieIn, FORM_TYPE, gatewayOf, type Headers, JSON_TYPE, STATUS } from "./harness/browser-login-rig.ts";

describe("login of browsers", () => {
  const rig = BrowserLoginRig.describe();

  it("a login with a password, or a token, sets a cookie that no script reads and no other site sends, and calls have it for their login", async () => {
    for (const [fields, user] of [
      [ANN, "ann"],
      [{ token: rig.annsToken }, "ann"],
      [{ user: "admin", password: TEST_SECRETS.adminPassword }, "admin"],
    ] as const) {
      const response = await rig.login(fields);
      const { user: name, expires_at } = JSON.parse(await response.text());
      assert.deepEqual([response.status, name], [200, user]);
      assert.ok(Date.parse(expires_at) > Date.now());
      assert.match(response.headers.getSetCookie().join(), /^nebula=nbs_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
      assert.equal(await rig.who(cookieIn(response)), user);
      assert.equal(await rig.who(`other=1; ${cookieIn(response)}; third=x`), user);
    }
  });

  it("a login by a form is refused: its body is not JSON", async () => {
    const response = await rig.post("/ui/login", new URLSearchParams(ANN).toString(), FORM_TYPE);
    assert.deepEqual([response.status, response.headers.getSetCookie()], [400, []]);
  });

  it("a stream of the API has the cookie for its login, and ends as unauthenticated with the session", async () => {
    const cookie = await rig.loggedIn({ user: "admin", password: TEST_SECRETS.adminPassword });
    await rig.post("/nebula.v1.DeviceGroupService/CreateDeviceGroup", JSON.stringify({ device_group: { name: "pos" } }), ADMIN);
    const watch = await rig.post("/nebula.v1.DeviceService/WatchDevices", JSON.stringify({ device_groups: ["pos"] }), { cookie });
    assert.equal(watch.status, 200);
    const lines = linesOf(watch);
    assert.equal((await lines.next()).value?.complete, true);
    await rig.post("/ui/logout", "{}", { cookie });
    let last: unknown;
    for await (const line of lines) last = line;
    assert.equal(JSON.parse(JSON.stringify(last)).error?.code, "unauthenticated");
  });

  it("a call with a session that has ended is answered as unauthenticated, so that the page asks for a login", async () => {
    const cookie = await rig.loggedIn();
    await rig.post("/ui/logout", "{}", { cookie });
    await eventually(async () => (await rig.who(cookie)) === "unauthenticated");
    const response = await rig.post(STATUS, "{}", { cookie, "connect-protocol-version": "1" });
    assert.deepEqual([response.status, (await errorOf(response)).code], [401, "unauthenticated"]);
    assert.equal(response.headers.get("www-authenticate"), null, "a browser must not ask by itself");
  });

  it("a wrong login is refused without a cookie, and names no more than that", async () => {
    for (const fields of [{ ...ANN, password: "wrong" }, { user: "nobody-here", password: "wrong" }, { token: "wrong" }]) {
      const response = await rig.login(fields);
      const { status, code, message } = await errorOf(response);
      assert.deepEqual([status, code, message], [401, "unauthenticated", "wrong user or password, or wrong token"]);
      assert.deepEqual(response.headers.getSetCookie(), []);
    }
  });

  it("a login whose body is not one is refused, and no value of it is repeated", async () => {
    const secret = "s3cret-of-a-test";
    for (const body of [
      "",
      "[]",
      "null",
      `"${secret}"`,
      `{"user":"${secret}"`,
      JSON.stringify({ user: secret }),
      JSON.stringify({ user: `a:${secret}`, password: secret }),
      JSON.stringify({ ...ANN, token: secret }),
      JSON.stringify({ ...ANN, [secret]: "x" }),
      JSON.stringify({ user: "ann", password: [secret] }),
      JSON.stringify({ user: "ann", password: secret.repeat(1000) }),
    ]) {
      const response = await rig.post("/ui/login", body);
      const answer = await response.text();
      assert.equal(response.status, 400, body.slice(0, 80));
      assert.ok(!answer.includes(secret), answer);
      assert.deepEqual(response.headers.getSetCookie(), []);
    }
  });

  it("a logout ends the session, removes the cookie, and is the same without a session", async () => {
    const cookie = await rig.loggedIn();
    const before = await rig.sessionsOf("ann");
    const out = await rig.post("/ui/logout", "{}", { cookie });
    assert.equal(out.status, 200);
    assert.match(out.headers.getSetCookie().join(), /^nebula=; Path=\/; HttpOnly; SameSite=Strict; Max-Age=0$/);
    assert.equal(await rig.sessionsOf("ann"), before - 1);
    await eventually(async () => (await rig.who(cookie)) === "unauthenticated");
    for (const again of [{ cookie }, {}]) assert.equal((await rig.post("/ui/logout", "{}", again)).status, 200);
  });

  it("a logout with several cookies of the name ends the session of each", async () => {
    const [first, second] = [await rig.loggedIn(), await rig.loggedIn()];
    const before = await rig.sessionsOf("ann");
    const out = await rig.post("/ui/logout", "{}", { cookie: `${first}; nebula=nbs_${newToken()}; nebula=x; ${second}; ${second}` });
    assert.equal(out.status, 200);
    assert.equal(await rig.sessionsOf("ann"), before - 2);
    for (const cookie of [first, second]) await eventually(async () => (await rig.who(cookie)) === "unauthenticated");
  });

  it("a login leaves what a login of the API leaves in the audit log: the address of the browser, and the id of the session", async () => {
    const cookie = await rig.loggedIn();
    await rig.post("/ui/logout", "{}", { cookie });
    const { items } = await rig.manager.drivers.accessStore.listAudit({ kind: "session", who: "ann" }, { limit: 2 });
    assert.deepEqual(
      items.map(({ method, from, outcome }) => [method, from, outcome]),
      ["DeleteSession", "CreateSession"].map((name) => [`/nebula.v1.AccessService/${name}`, "127.0.0.1", "OK"]),
    );
  });

  it("every answer below /ui/ has the headers that keep other pages out, refusals too", async () => {
    const answers = [
      await rig.login(ANN),
      await rig.login({ ...ANN, password: "wrong" }),
      await rig.login(ANN, { origin: "http://evil.example.com" }),
      await rig.post("/ui/login", "{"),
      await fetch(`${rig.own}/ui/login`),
      await rig.post("/ui/logout", "{}"),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 401, 403, 400, 405, 200],
    );
    for (const { headers } of answers) {
      for (const [name, value] of Object.entries({ ...UI_HEADERS, "cache-control": "no-store" })) assert.equal(headers.get(name), value, name);
    }
    const policy = new Map(
      (UI_HEADERS["content-security-policy"] ?? "").split("; ").map((one) => {
        const [name = "", value = ""] = one.split(" ");
        return [name, value];
      }),
    );
    for (const name of ["default-src", "base-uri", "frame-ancestors"]) assert.equal(policy.get(name), "'none'", name);
    for (const name of ["script-src", "style-src", "img-src", "connect-src", "worker-src", "form-action"])
      assert.equal(policy.get(name), "'self'", name);
    assert.equal(policy.size, 9);
  });

  it("failed logins are held up by the address of the browser, and refused with a time after many", async () => {
    await using held = await startManagerRig();
    await using other = await gatewayOf(held);
    const url = `http://127.0.0.1:${other.address.port}`;
    const wrong = (index: number) =>
      fetch(`${url}/ui/login`, {
        method: "POST",
        body: JSON.stringify({ user: "admin", password: `wrong ${index}` }),
        headers: { ...JSON_TYPE, origin: url },
      });
    let refused: Response | undefined;
    for (let index = 0; index < 200 && refused === undefined; index += 8) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, at) => wrong(index + at)));
      assert.ok(answers.every(({ status }) => status === 401 || status === 429));
      refused = answers.find(({ status }) => status === 429);
    }
    assert.ok(refused !== undefined, "200 wrong passwords were looked at");
    assert.match((await errorOf(refused)).message, /too many failed logins from this address: try again in \d+ s/);
  });

  it("NEBULA_DASHBOARD=off turns the login and the cookie off", async () => {
    const cookie = await rig.loggedIn();
    await using without = await gatewayOf(rig.manager, { dashboard: false });
    const url = `http://127.0.0.1:${without.address.port}`;
    const headers = { ...JSON_TYPE, origin: url, cookie };
    for (const path of ["/ui/login", "/ui/logout"]) {
      assert.equal((await fetch(url + path, { method: "POST", body: JSON.stringify(ANN), headers })).status, 404);
    }
    assert.equal((await fetch(url + STATUS, { method: "POST", body: "{}", headers })).status, 401);
    assert.equal(await rig.who(cookie), "ann");
  });

  describe("over TLS", () => {
    it("a page that came over TLS by a proxy gets a Secure cookie with the __Host- prefix, which a page of clear text does not have", async () => {
      const overTls = { origin: rig.own.replace("http:", "https:") };
      const response = await rig.login(ANN, overTls);
      assert.match(response.headers.getSetCookie().join(), /^__Host-nebula=nbs_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
      const cookie = cookieIn(response);
      assert.equal(await rig.who(cookie, overTls), "ann");
      assert.equal(await rig.who(cookie), "unauthenticated");
      const out = await rig.post("/ui/logout", "{}", { cookie, ...overTls });
      assert.match(out.headers.getSetCookie().join(), /^__Host-nebula=; Path=\/; HttpOnly; SameSite=Strict; Secure; Max-Age=0$/);
      await eventually(async () => (await rig.who(cookie, overTls)) === "unauthenticated");
    });

    it("a gateway with a certificate takes no page of clear text for its own", async () => {
      await using authority = await TestAuthority.make();
      const { certFile, keyFile } = await authority.issue("gateway");
      const none = { clientCa: undefined, clientAuth: "off", ca: undefined, clientCert: undefined, clientKey: undefined } as const;
      await using secure = await gatewayOf(rig.manager, { tls: { cert: certFile, key: keyFile, ...none } });
      const host = `127.0.0.1:${secure.address.port}`;
      const send = (path: string, body: object, headers: Headers) =>
        new Promise<{ status: number | undefined; cookies: readonly string[]; body: string }>((resolve, reject) => {
          const options = { method: "POST", ca: authority.ca, headers: { ...JSON_TYPE, ...headers } };
          const request = httpsRequest(`https://${host}${path}`, options, async (response) => {
            resolve({ status: response.statusCode, cookies: response.headers["set-cookie"] ?? [], body: await text(response) });
          });
          request.on("error", reject);
          request.end(JSON.stringify(body));
        });
      const refused = await send("/ui/login", ANN, { origin: `http://${host}` });
      assert.deepEqual([refused.status, refused.cookies], [403, []]);
      const { status, cookies } = await send("/ui/login", ANN, { origin: `https://${host}` });
      assert.equal(status, 200);
      assert.match(cookies.join(), /^__Host-nebula=nbs_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
      const cookie = cookies[0]?.split(";")[0] ?? "";
      assert.equal((await send(STATUS, {}, { origin: `https://${host}`, cookie })).status, 200);
      assert.equal((await send(STATUS, {}, { origin: `http://${host}`, cookie })).status, 401);
    });
  });
}).timeout(60_000);
