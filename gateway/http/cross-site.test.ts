import { strict as assert } from "node:assert";
import fc from "fast-check";
import { type BrowserHeaders, crossSiteRefusal } from "./cross-site.ts";

const post: BrowserHeaders = { method: "POST", host: "nebula.example.com:8080", origin: undefined, secFetchSite: undefined };

function refused(headers: Partial<BrowserHeaders>, authEnabled = true): boolean {
  return crossSiteRefusal({ ...post, ...headers }, { authEnabled, ownNames: ["box.example.com"] }) !== undefined;
}

describe("against other sites in a browser", () => {
  it("a client other than a browser passes", () => {
    for (const method of ["GET", "POST", "DELETE"]) assert.ok(!refused({ method }));
  });

  it("a page of the same origin passes, with or without its default port", () => {
    assert.ok(!refused({ origin: "http://nebula.example.com:8080", secFetchSite: "same-origin" }));
    assert.ok(!refused({ host: "nebula.example.com", origin: "https://nebula.example.com" }));
    assert.ok(!refused({ host: "nebula.example.com:443", origin: "https://nebula.example.com" }));
    assert.ok(!refused({ host: "NEBULA.example.com:8080", origin: "http://nebula.example.com:8080" }));
  });

  it("a page of another site changes nothing", () => {
    assert.ok(refused({ secFetchSite: "cross-site" }));
    for (const origin of [
      "http://evil.example.com",
      "http://nebula.example.com",
      "null",
      "",
      "chrome-extension://abc",
      "http://nebula.example.com:8080.evil.com",
    ]) {
      assert.ok(refused({ origin }), origin);
    }
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) assert.ok(refused({ method, secFetchSite: "cross-site" }), method);
  });

  it("a link from another site may be followed", () => {
    assert.ok(!refused({ method: "GET", secFetchSite: "cross-site" }));
    assert.ok(!refused({ method: "GET", origin: "http://evil.example.com" }));
  });

  it("a gateway without authentication is reached by its own name only, for reading too", () => {
    for (const method of ["GET", "POST"]) {
      for (const host of [
        "127.0.0.1:8080",
        "[::1]:8080",
        "10.0.0.1",
        "localhost:8080",
        "api.localhost",
        "gateway:8080",
        "box.example.com",
        "BOX.example.com:1",
      ]) {
        assert.ok(!refused({ method, host }, false), host);
      }
      for (const host of ["evil.example.com:8080", "127.0.0.1.nip.io", "a b", ""]) assert.ok(refused({ method, host }, false), host);
      assert.ok(refused({ method, host: undefined }, false));
    }
    assert.ok(!refused({ method: "GET", host: "evil.example.com" }));
  });

  it("any headers are judged without an error", () => {
    const text = fc.option(fc.string(), { nil: undefined });
    fc.assert(
      fc.property(fc.string(), text, text, text, fc.boolean(), (method, host, origin, secFetchSite, authEnabled) => {
        crossSiteRefusal({ method, host, origin, secFetchSite }, { authEnabled, ownNames: [] });
      }),
    );
  });
});
