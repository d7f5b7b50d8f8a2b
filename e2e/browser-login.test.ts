import { strict as assert } from "node:assert";
import { request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { Registry } from "prom-client";
import { newToken } from "../common/access/tokens.ts";
import { systemClock } from "../common/clock/system-clock.ts";
import { silentLog } from "../common/log/log.ts";
import { eventually } from "../common/testing/eventually.ts";
import { TestAuthority } from "../common/testing/test-authority.ts";
import { UI_HEADERS } from "../gateway/dashboard/serve/headers.ts";
import { type GatewaySettings, type RunningGateway, startGateway } from "../gateway/main.ts";
import { errorOf, linesOf } from "../gateway/testing/gateway-fixture.ts";
import { ADMIN, type ManagerRig, startManagerRig, TEST_SECRETS } from "../manager/testing/manager-rig.ts";
import { putTestUser } from "../manager/testing/test-access.ts";

const STATUS = "/nebula.v1.StatusService/GetStatus";
const PASSWORD = "correct horse";
const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

type Headers = Readonly<Record<string, string>>;

async function gatewayOf(manager: ManagerRig, settings: Partial<GatewaySettings> = {}): Promise<RunningGateway> {
  return startGateway({
    settings: {
      httpListen: { host: "127.0.0.1", port: 0 },
      grpcListen: { host: "127.0.0.1", port: manager.port },
      managers: [{ protocol: "grpc", host: "127.0.0.1", port: manager.port }],
      authEnabled: true,
      dashboard: true,
      ...settings,
    },
    secrets: { clusterKey: TEST_SECRETS.clusterKey },
    changeFeed: manager.drivers.changeFeed,
    clock: systemClock,
    log: silentLog,
    registry: new Registry(),
    stopMs: 2000,
  });
}

describe("login of browsers", () => {
  let manager: ManagerRig;
  let gateway: RunningGateway;
  let own: string;
  /** Time that passed for the manager between tests: each begins with few logins behind it. */
  let passedMs = 0;
  const annsToken = newToken();
  before(async () => {
    manager = await startManagerRig({ clock: { ...systemClock, monotonic: () => systemClock.monotonic() + passedMs } });
    gateway = await gatewayOf(manager);
    own = `http://127.0.0.1:${gateway.address.port}`;
  });
  after(async () => {
    await gateway?.stop();
    await manager?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    passedMs += 30 * 60_000;
    await putTestUser(manager.drivers.accessStore, "ann", { password: PASSWORD, token: annsToken });
    manager.drivers.changeFeed.publish({ kind: "access", subject: "user/ann" });
  });

  const post = (path: string, body: string, headers: Headers = {}) =>
    fetch(own + path, { method: "POST", body, redirect: "manual", headers: { ...JSON_TYPE, origin: own, ...headers } });
  const login = (fields: object, headers: Headers = {}) => post("/ui/login", JSON.stringify(fields), headers);
  const ANN = { user: "ann", password: PASSWORD };

  /** The cookie as a browser sends it back. */
  function cookieIn(response: Response): string {
    const [cookie = "", ...more] = response.headers.getSetCookie();
    assert.deepEqual(more, []);
    return cookie.split(";")[0] ?? "";
  }
  async function loggedIn(fields: object = ANN): Promise<string> {
    const response = await login(fields);
    assert.equal(response.status, 200, await response.clone().text());
    return cookieIn(response);
  }
  /** Who the gateway takes a call for; the code of the refusal, where it does not. */
  async function who(cookie: string, headers: Headers = {}): Promise<unknown> {
    const answer: { user?: unknown; code?: unknown } = await (await post(STATUS, "{}", { cookie, ...headers })).json();
    return answer.user ?? answer.code;
  }
  const sessionsOf = async (user: string) =>
    (await manager.drivers.accessStore.listSessions({ user, nowMs: Date.now() }, { limit: 100 })).items.length;

  it("a login with a password, or a token, sets a cookie that no script reads and no other site sends, and calls have it for their login", async () => {
    for (const [fields, user] of [
      [ANN, "ann"],
      [{ token: annsToken }, "ann"],
      [{ user: "admin", password: TEST_SECRETS.adminPassword }, "admin"],
    ] as const) {
      const response = await login(fields);
      const { user: name, expires_at } = JSON.parse(await response.text());
      assert.deepEqual([response.status, name], [200, user]);
      assert.ok(Date.parse(expires_at) > Date.now());
      assert.match(response.headers.getSetCookie().join(), /^nebula=nbs_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
      assert.equal(await who(cookieIn(response)), user);
      assert.equal(await who(`other=1; ${cookieIn(response)}; third=x`), user);
    }
  });

  it("a login by a form is refused: its body is not JSON", async () => {
    const response = await post("/ui/login", new URLSearchParams(ANN).toString(), FORM_TYPE);
    assert.deepEqual([response.status, response.headers.getSetCookie()], [400, []]);
  });

  it("a stream of the API has the cookie for its login, and ends as unauthenticated with the session", async () => {
    const cookie = await loggedIn({ user: "admin", password: TEST_SECRETS.adminPassword });
    await post("/nebula.v1.DeviceGroupService/CreateDeviceGroup", JSON.stringify({ device_group: { name: "pos" } }), ADMIN);
    const watch = await post("/nebula.v1.DeviceService/WatchDevices", JSON.stringify({ device_groups: ["pos"] }), { cookie });
    assert.equal(watch.status, 200);
    const lines = linesOf(watch);
    assert.equal((await lines.next()).value?.complete, true);
    await post("/ui/logout", "{}", { cookie });
    let last: unknown;
    for await (const line of lines) last = line;
    assert.equal(JSON.parse(JSON.stringify(last)).error?.code, "unauthenticated");
  });

  it("a call with a session that has ended is answered as unauthenticated, so that the page asks for a login", async () => {
    const cookie = await loggedIn();
    await post("/ui/logout", "{}", { cookie });
    await eventually(async () => (await who(cookie)) === "unauthenticated");
    const response = await post(STATUS, "{}", { cookie, "connect-protocol-version": "1" });
    assert.deepEqual([response.status, (await errorOf(response)).code], [401, "unauthenticated"]);
    assert.equal(response.headers.get("www-authenticate"), null, "a browser must not ask by itself");
  });

  it("a wrong login is refused without a cookie, and names no more than that", async () => {
    for (const fields of [{ ...ANN, password: "wrong" }, { user: "nobody-here", password: "wrong" }, { token: "wrong" }]) {
      const response = await login(fields);
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
      const response = await post("/ui/login", body);
      const answer = await response.text();
      assert.equal(response.status, 400, body.slice(0, 80));
      assert.ok(!answer.includes(secret), answer);
      assert.deepEqual(response.headers.getSetCookie(), []);
    }
  });

  it("a logout ends the session, removes the cookie, and is the same without a session", async () => {
    const cookie = await loggedIn();
    const before = await sessionsOf("ann");
    const out = await post("/ui/logout", "{}", { cookie });
    assert.equal(out.status, 200);
    assert.match(out.headers.getSetCookie().join(), /^nebula=; Path=\/; HttpOnly; SameSite=Strict; Max-Age=0$/);
    assert.equal(await sessionsOf("ann"), before - 1);
    await eventually(async () => (await who(cookie)) === "unauthenticated");
    for (const again of [{ cookie }, {}]) assert.equal((await post("/ui/logout", "{}", again)).status, 200);
  });

  it("a logout with several cookies of the name ends the session of each", async () => {
    const [first, second] = [await loggedIn(), await loggedIn()];
    const before = await sessionsOf("ann");
    const out = await post("/ui/logout", "{}", { cookie: `${first}; nebula=nbs_${newToken()}; nebula=x; ${second}; ${second}` });
    assert.equal(out.status, 200);
    assert.equal(await sessionsOf("ann"), before - 2);
    for (const cookie of [first, second]) await eventually(async () => (await who(cookie)) === "unauthenticated");
  });

  it("a login leaves what a login of the API leaves in the audit log: the address of the browser, and the id of the session", async () => {
    const cookie = await loggedIn();
    await post("/ui/logout", "{}", { cookie });
    const { items } = await manager.drivers.accessStore.listAudit({ kind: "session", who: "ann" }, { limit: 2 });
    assert.deepEqual(
      items.map(({ method, from, outcome }) => [method, from, outcome]),
      ["DeleteSession", "CreateSession"].map((name) => [`/nebula.v1.AccessService/${name}`, "127.0.0.1", "OK"]),
    );
  });

  describe("under attack", () => {
    it("a login and a logout from a page of another site, from a page without an Origin, or by a GET do nothing", async () => {
      const cookie = await loggedIn();
      const before = await sessionsOf("ann");
      const foreign: readonly Headers[] = [
        { origin: "http://evil.example.com" },
        { origin: "http://127.0.0.1:1" },
        { origin: "null" },
        { origin: own, "sec-fetch-site": "cross-site" },
      ];
      for (const headers of foreign) {
        for (const type of [JSON_TYPE, FORM_TYPE]) {
          const body = type === FORM_TYPE ? new URLSearchParams(ANN).toString() : JSON.stringify(ANN);
          const response = await post("/ui/login", body, { ...type, ...headers });
          assert.deepEqual([response.status, response.headers.getSetCookie()], [403, []], JSON.stringify(headers));
          assert.equal((await post("/ui/logout", "{}", { ...type, ...headers, cookie })).status, 403);
        }
      }
      for (const path of ["/ui/login", "/ui/logout"]) {
        const withoutOrigin = await fetch(own + path, { method: "POST", body: JSON.stringify(ANN), headers: { ...JSON_TYPE, cookie } });
        assert.deepEqual([withoutOrigin.status, withoutOrigin.headers.getSetCookie()], [403, []]);
        const got = await fetch(`${own}${path}?user=ann&password=correct+horse`, { headers: { origin: own, cookie } });
        assert.deepEqual([got.status, got.headers.getSetCookie()], [405, []]);
      }
      assert.equal(await sessionsOf("ann"), before);
      assert.equal(await who(cookie), "ann");
    });

    it("a call that a page of another site has a browser make does not have the cookie for its login", async () => {
      const cookie = await loggedIn();
      assert.equal(await who(cookie, { origin: "http://evil.example.com" }), "permission_denied");
      assert.equal(await who(cookie, { "sec-fetch-site": "cross-site" }), "permission_denied");
      const withoutOrigin = await fetch(own + STATUS, { method: "POST", body: "{}", headers: { ...JSON_TYPE, cookie } });
      assert.equal(withoutOrigin.status, 401);
    });

    it("a call of a form does not have the cookie for its login, of an own page neither", async () => {
      const cookie = await loggedIn();
      for (const type of [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/proto",
        "application/jsonp",
      ]) {
        const response = await post(STATUS, type === "application/proto" ? "" : "{}", { cookie, "content-type": type });
        assert.ok(response.status === 401 || response.status === 415, `${type}: ${response.status}`);
      }
      const binary = await post(STATUS, "", { cookie, "content-type": "application/proto", "connect-protocol-version": "1" });
      assert.equal(binary.status, 200);
    });

    it("a GET, and REST v2, never read the cookie", async () => {
      const cookie = await loggedIn({ user: "admin", password: TEST_SECRETS.adminPassword });
      const headers = { cookie, origin: own, "connect-protocol-version": "1", ...JSON_TYPE };
      const query = "?connect=v1&encoding=json&message=%7B%7D";
      const got = await fetch(`${own}${STATUS}${query}`, { headers });
      assert.equal(got.status, 401);
      assert.equal((await fetch(`${own}${STATUS}${query}`, { headers: { ...headers, ...ADMIN } })).status, 200, "with an Authorization it is served");
      for (const path of ["/api/v2/apps", "/api/v2/device_groups/pos/info", "/api/v2/users"]) {
        assert.equal((await fetch(own + path, { headers })).status, 401, path);
      }
      for (const path of ["/api/v2/apps/web/start", "/api/v2/apps/web", "/api/v2/prune"]) {
        assert.equal((await fetch(own + path, { method: "POST", body: "{}", headers })).status, 401, path);
      }
    });

    it("an Authorization header precedes the cookie, a wrong one too", async () => {
      const cookie = await loggedIn();
      assert.equal(await who(cookie, ADMIN), "admin");
      assert.equal(await who(cookie, { authorization: "Bearer wrong" }), "unauthenticated");
    });

    it("a cookie that is damaged, doubled or of another name counts for nothing", async () => {
      const cookie = await loggedIn();
      const token = cookie.slice("nebula=".length);
      for (const bad of [
        `nebula=${annsToken}`,
        `nebula=${token}x`,
        `nebula=${token.slice(0, -1)}`,
        `Nebula=${token}`,
        `__Host-nebula=${token}`,
        `nebula=nbs_${newToken()}; ${cookie}`,
        `${cookie}; ${cookie}`,
        `x${cookie}`,
      ]) {
        assert.equal(await who(bad), "unauthenticated", bad.replaceAll(token, "TOKEN"));
      }
      assert.equal(await who(cookie), "ann");
    });

    it("a cookie counts no more after the password changed, the token was refreshed, or the user was deleted", async () => {
      const admin = (method: string, body: object) => post(`/nebula.v1.UserService/${method}`, JSON.stringify(body), ADMIN);
      const ended = (cookie: string) => eventually(async () => (await who(cookie)) === "unauthenticated");
      const [byPassword, byToken] = [await loggedIn(), await loggedIn({ token: annsToken })];
      assert.deepEqual([await who(byPassword), await who(byToken)], ["ann", "ann"]);
      assert.equal((await admin("UpdateUser", { name: "ann", password: "battery staple" })).status, 200);
      await ended(byPassword);
      assert.equal(await who(byToken), "ann");
      assert.equal((await admin("RefreshUserToken", { name: "ann" })).status, 200);
      await ended(byToken);
      const last = await eventually(() => loggedIn({ user: "ann", password: "battery staple" }));
      assert.equal((await admin("DeleteUser", { name: "ann" })).status, 200);
      await ended(last);
    });

    it("a session can't be made of a session: it ends when it was made to", async () => {
      const token = (await loggedIn()).slice("nebula=".length);
      const response = await login({ token });
      assert.deepEqual([response.status, response.headers.getSetCookie()], [403, []]);
    });
  });

  it("every answer below /ui/ has the headers that keep other pages out, refusals too", async () => {
    const answers = [
      await login(ANN),
      await login({ ...ANN, password: "wrong" }),
      await login(ANN, { origin: "http://evil.example.com" }),
      await post("/ui/login", "{"),
      await fetch(`${own}/ui/login`),
      await post("/ui/logout", "{}"),
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
    const cookie = await loggedIn();
    await using without = await gatewayOf(manager, { dashboard: false });
    const url = `http://127.0.0.1:${without.address.port}`;
    const headers = { ...JSON_TYPE, origin: url, cookie };
    for (const path of ["/ui/login", "/ui/logout"]) {
      assert.equal((await fetch(url + path, { method: "POST", body: JSON.stringify(ANN), headers })).status, 404);
    }
    assert.equal((await fetch(url + STATUS, { method: "POST", body: "{}", headers })).status, 401);
    assert.equal(await who(cookie), "ann");
  });

  describe("over TLS", () => {
    it("a page that came over TLS by a proxy gets a Secure cookie with the __Host- prefix, which a page of clear text does not have", async () => {
      const overTls = { origin: own.replace("http:", "https:") };
      const response = await login(ANN, overTls);
      assert.match(response.headers.getSetCookie().join(), /^__Host-nebula=nbs_[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
      const cookie = cookieIn(response);
      assert.equal(await who(cookie, overTls), "ann");
      assert.equal(await who(cookie), "unauthenticated");
      const out = await post("/ui/logout", "{}", { cookie, ...overTls });
      assert.match(out.headers.getSetCookie().join(), /^__Host-nebula=; Path=\/; HttpOnly; SameSite=Strict; Secure; Max-Age=0$/);
      await eventually(async () => (await who(cookie, overTls)) === "unauthenticated");
    });

    it("a gateway with a certificate takes no page of clear text for its own", async () => {
      await using authority = await TestAuthority.make();
      const { certFile, keyFile } = await authority.issue("gateway");
      const none = { clientCa: undefined, clientAuth: "off", ca: undefined, clientCert: undefined, clientKey: undefined } as const;
      await using secure = await gatewayOf(manager, { tls: { cert: certFile, key: keyFile, ...none } });
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
