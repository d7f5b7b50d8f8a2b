import { strict as assert } from "node:assert";
import { newToken } from "../../common/access/tokens.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ADMIN, TEST_SECRETS } from "../../manager/testing/manager-rig.ts";
import { ANN, BrowserLoginRig, FORM_TYPE, type Headers, JSON_TYPE, STATUS } from "../harness/browser-login-rig.ts";

describe("login of browsers under attack", () => {
  const rig = BrowserLoginRig.describe();

  it("a login and a logout from a page of another site, from a page without an Origin, or by a GET do nothing", async () => {
    const cookie = await rig.loggedIn();
    const before = await rig.sessionsOf("ann");
    const foreign: readonly Headers[] = [
      { origin: "http://evil.example.com" },
      { origin: "http://127.0.0.1:1" },
      { origin: "null" },
      { origin: rig.own, "sec-fetch-site": "cross-site" },
    ];
    for (const headers of foreign) {
      for (const type of [JSON_TYPE, FORM_TYPE]) {
        const body = type === FORM_TYPE ? new URLSearchParams(ANN).toString() : JSON.stringify(ANN);
        const response = await rig.post("/ui/login", body, { ...type, ...headers });
        assert.deepEqual([response.status, response.headers.getSetCookie()], [403, []], JSON.stringify(headers));
        assert.equal((await rig.post("/ui/logout", "{}", { ...type, ...headers, cookie })).status, 403);
      }
    }
    for (const path of ["/ui/login", "/ui/logout"]) {
      const withoutOrigin = await fetch(rig.own + path, { method: "POST", body: JSON.stringify(ANN), headers: { ...JSON_TYPE, cookie } });
      assert.deepEqual([withoutOrigin.status, withoutOrigin.headers.getSetCookie()], [403, []]);
      const got = await fetch(`${rig.own}${path}?user=ann&password=correct+horse`, { headers: { origin: rig.own, cookie } });
      assert.deepEqual([got.status, got.headers.getSetCookie()], [405, []]);
    }
    assert.equal(await rig.sessionsOf("ann"), before);
    assert.equal(await rig.who(cookie), "ann");
  });

  it("a call that a page of another site has a browser make does not have the cookie for its login", async () => {
    const cookie = await rig.loggedIn();
    assert.equal(await rig.who(cookie, { origin: "http://evil.example.com" }), "permission_denied");
    assert.equal(await rig.who(cookie, { "sec-fetch-site": "cross-site" }), "permission_denied");
    const withoutOrigin = await fetch(rig.own + STATUS, { method: "POST", body: "{}", headers: { ...JSON_TYPE, cookie } });
    assert.equal(withoutOrigin.status, 401);
  });

  it("a call of a form does not have the cookie for its login, of an own page neither", async () => {
    const cookie = await rig.loggedIn();
    for (const type of [
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "text/plain",
      "application/proto",
      "application/jsonp",
    ]) {
      const response = await rig.post(STATUS, type === "application/proto" ? "" : "{}", { cookie, "content-type": type });
      assert.ok(response.status === 401 || response.status === 415, `${type}: ${response.status}`);
    }
    const binary = await rig.post(STATUS, "", { cookie, "content-type": "application/proto", "connect-protocol-version": "1" });
    assert.equal(binary.status, 200);
  });

  it("a GET, and REST v2, never read the cookie", async () => {
    const cookie = await rig.loggedIn({ user: "admin", password: TEST_SECRETS.adminPassword });
    const headers = { cookie, origin: rig.own, "connect-protocol-version": "1", ...JSON_TYPE };
    const query = "?connect=v1&encoding=json&message=%7B%7D";
    const got = await fetch(`${rig.own}${STATUS}${query}`, { headers });
    assert.equal(got.status, 401);
    assert.equal(
      (await fetch(`${rig.own}${STATUS}${query}`, { headers: { ...headers, ...ADMIN } })).status,
      200,
      "with an Authorization it is served",
    );
    for (const path of ["/api/v2/apps", "/api/v2/device_groups/pos/info", "/api/v2/users"]) {
      assert.equal((await fetch(rig.own + path, { headers })).status, 401, path);
    }
    for (const path of ["/api/v2/apps/web/start", "/api/v2/apps/web", "/api/v2/prune"]) {
      assert.equal((await fetch(rig.own + path, { method: "POST", body: "{}", headers })).status, 401, path);
    }
  });

  it("an Authorization header precedes the cookie, a wrong one too", async () => {
    const cookie = await rig.loggedIn();
    assert.equal(await rig.who(cookie, ADMIN), "admin");
    assert.equal(await rig.who(cookie, { authorization: "Bearer wrong" }), "unauthenticated");
  });

  it("a cookie that is damaged, doubled or of another name counts for nothing", async () => {
    const cookie = await rig.loggedIn();
    const token = cookie.slice("nebula=".length);
    for (const bad of [
      `nebula=${rig.annsToken}`,
      `nebula=${token}x`,
      `nebula=${token.slice(0, -1)}`,
      `Nebula=${token}`,
      `__Host-nebula=${token}`,
      `nebula=nbs_${newToken()}; ${cookie}`,
      `${cookie}; ${cookie}`,
      `x${cookie}`,
    ]) {
      assert.equal(await rig.who(bad), "unauthenticated", bad.replaceAll(token, "TOKEN"));
    }
    assert.equal(await rig.who(cookie), "ann");
  });

  it("a cookie counts no more after the password changed, the token was refreshed, or the user was deleted", async () => {
    const admin = (method: string, body: object) => rig.post(`/nebula.v1.UserService/${method}`, JSON.stringify(body), ADMIN);
    const ended = (cookie: string) => eventually(async () => (await rig.who(cookie)) === "unauthenticated");
    const [byPassword, byToken] = [await rig.loggedIn(), await rig.loggedIn({ token: rig.annsToken })];
    assert.deepEqual([await rig.who(byPassword), await rig.who(byToken)], ["ann", "ann"]);
    assert.equal((await admin("UpdateUser", { name: "ann", password: "battery staple" })).status, 200);
    await ended(byPassword);
    assert.equal(await rig.who(byToken), "ann");
    assert.equal((await admin("RefreshUserToken", { name: "ann" })).status, 200);
    await ended(byToken);
    const last = await eventually(() => rig.loggedIn({ user: "ann", password: "battery staple" }));
    assert.equal((await admin("DeleteUser", { name: "ann" })).status, 200);
    await ended(last);
  });

  it("a session can't be made of a session: it ends when it was made to", async () => {
    const token = (await rig.loggedIn()).slice("nebula=".length);
    const response = await rig.login({ token });
    assert.deepEqual([response.status, response.headers.getSetCookie()], [403, []]);
  });
}).timeout(60_000);
