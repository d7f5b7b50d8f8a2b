import { strict as assert } from "node:assert";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { stop } from "esbuild";
import type { RunningGateway } from "../../main.ts";
import { gatewayFor } from "../../testing/gateway-fixture.ts";
import { StandInManager } from "../../testing/stand-in-manager.ts";
import { ASSETS, type BuiltPage, buildPage, MOST_BYTES } from "./build-page.ts";

type Answer = Readonly<{ status: number; headers: Readonly<Record<string, string | string[] | undefined>>; body: Buffer }>;

describe("the dashboard as the gateway serves it", function () {
  this.timeout(60_000); // esbuild starts
  let manager: StandInManager;
  let gateway: RunningGateway;
  before(async () => {
    manager = await StandInManager.start({});
    gateway = await gatewayFor([manager], { dashboard: true });
  });
  after(async () => {
    await gateway?.stop();
    await manager?.[Symbol.asyncDispose]();
  });

  function get(path: string, headers: Record<string, string> = {}, { method = "GET", port = gateway.address.port } = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const asked = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }));
      });
      asked.on("error", reject);
      asked.end();
    });
  }

  it("each address below /ui/ is the document, which loads files of its own origin alone, and whose scripts are files", async () => {
    for (const path of ["/ui/", "/ui/devices?state=failed", "/ui/changes/app/web/42"]) {
      const { status, headers, body } = await get(path);
      assert.equal(status, 200, path);
      assert.match(String(headers["content-type"]), /^text\/html/);
      assert.equal(headers["cache-control"], "no-cache");
      const policy = String(headers["content-security-policy"]);
      assert.match(policy, /default-src 'none'/);
      assert.doesNotMatch(policy, /unsafe|https?:|\*/);
      assert.match(body.toString(), /<script type="module" src="\/ui\/assets\/page-\w+\.js">/);
      assert.doesNotMatch(body.toString(), /<script>|style=|https?:\/\//);
    }
  });

  it("what the document loads is kept by browsers, and compressed where they can read that", async () => {
    const text = (await get("/ui/")).body.toString();
    const files = [...text.matchAll(/(?:href|src|content)="(\/ui\/assets\/[^"]+)"/g)].flatMap(([, path]) => path ?? []);
    assert.equal(files.length, 4);
    for (const path of files) {
      const plain = await get(path);
      assert.equal(plain.status, 200, path);
      assert.match(String(plain.headers["cache-control"]), /immutable/);
      assert.equal(plain.headers["x-content-type-options"], "nosniff");
      for (const [accepted, coding, read] of [
        ["gzip, deflate, br, zstd", "br", brotliDecompressSync],
        ["gzip;q=0, BR;q=0.5", "br", brotliDecompressSync],
        ["gzip, deflate", "gzip", gunzipSync],
        ["br;q=0, x-gzip", "gzip", gunzipSync],
        ["*", "gzip", gunzipSync],
        ["br; q=0.000, gzip ;q=0, identity", undefined, (body: Buffer) => body],
      ] as const) {
        const { headers, body } = await get(path, { "accept-encoding": accepted });
        assert.deepEqual([headers["content-encoding"], headers.vary], [coding, "accept-encoding"], accepted);
        assert.deepEqual(read(body), plain.body, accepted);
      }
    }
  });

  it("a client that asks for a file a thousand times at once, and reads nothing, has the gateway hold one copy of it", async () => {
    const path = /src="(\/ui\/assets\/page-[^"]+)"/.exec((await get("/ui/")).body.toString())?.[1] ?? assert.fail("no script");
    const { byteLength } = (await get(path)).body;
    const socket = connect(gateway.address.port, "127.0.0.1").pause();
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    socket.write(`HEAD ${path} HTTP/1.1\r\nhost: a\r\n\r\n`.repeat(1000));
    socket.end();
    const look = setInterval(() => {
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 1);
    socket.resume();
    await once(socket, "close");
    clearInterval(look);
    assert.ok(most < 20 * byteLength, `${most} bytes for a file of ${byteLength}`);
  });

  it("a file of another version of the page is not found, and the document is not served in its place", async () => {
    const { status, body } = await get("/ui/assets/page-OLD.js");
    assert.equal(status, 404);
    assert.match(body.toString(), /reload the dashboard/);
  });

  it("a browser that asks for / is led to the dashboard; other clients learn where the API is", async () => {
    const browser = await get("/", { accept: "text/html,application/xhtml+xml" });
    assert.deepEqual([browser.status, browser.headers.location], [302, "/ui/"]);
    assert.deepEqual([(await get("/ui")).status, (await get("/ui")).headers.location], [302, "/ui/"]);
    const curl = await get("/", { accept: "*/*" });
    assert.equal(curl.status, 404);
    assert.match(curl.body.toString(), /\/nebula\.v1\..*\/ui\//);
    assert.equal((await get("/other")).status, 404);
  });

  it("the dashboard is only read", async () => {
    const { status, headers } = await get("/ui/", {}, { method: "POST" });
    assert.deepEqual([status, headers.allow], [405, "GET, HEAD"]);
    const head = await get("/ui/", {}, { method: "HEAD" });
    assert.deepEqual([head.status, head.body.length], [200, 0]);
  });

  it("a gateway whose dashboard is off serves nothing of it", async () => {
    const off = await gatewayFor([manager], { dashboard: false });
    try {
      for (const path of ["/", "/ui", "/ui/", "/ui/assets/x"]) {
        const { status, body } = await get(path, { accept: "text/html" }, { port: off.address.port });
        assert.equal(status, 404, path);
        assert.doesNotMatch(body.toString(), /dashboard/);
      }
    } finally {
      await off.stop();
    }
  });
});

describe("the page of the dashboard as it is made", function () {
  this.timeout(60_000);
  let built: BuiltPage;
  before(async () => {
    built = await buildPage();
  });
  after(() => stop());

  it("script and style of the dashboard weigh at most 150 KB compressed", () => {
    console.log(`      ${(built.bytes / 1024).toFixed(1)} KB`);
    assert.ok(built.bytes > 10_000, "it has the page");
    assert.ok(built.bytes <= MOST_BYTES, `${built.bytes} bytes`);
    assert.equal(MOST_BYTES, 150 * 1024);
  });

  it("descriptors of the API are in the scripts as text, which compresses better than base64", () => {
    const scripts = [...built.page.assets].filter(([name]) => name.endsWith(".js")).map(([, { brotli }]) => brotliDecompressSync(brotli).toString());
    assert.ok(scripts.some((script) => script.includes("nebula/v1/app.proto") && script.includes("docker_image")));
    const base64 = Buffer.from("\n\x13nebula/v1/").toString("base64"); // how each of ours begins
    assert.ok(!scripts.some((script) => script.includes(base64.slice(0, -2))));
  });

  it("the styles of views come after the theme, so that their rules override it", () => {
    const [, style] = [...built.page.assets].find(([name]) => name.endsWith(".css")) ?? assert.fail("no style");
    const text = brotliDecompressSync(style.brotli).toString();
    const [card = -1, bar = -1, fleet = -1, usage = -1] = [".card{", ".bar{", ".fleet{", ".usage{"].map((rule) => text.indexOf(rule));
    assert.ok(card > 0 && fleet > card, `.card of the theme and .fleet of a view are at ${card} and ${fleet}`);
    assert.ok(bar > 0 && usage > bar, `.bar of the theme and .usage of a view are at ${bar} and ${usage}`);
  });

  it("the page contains no address of another origin that it may load from", () => {
    const texts = [...built.page.assets].filter(([name]) => !name.endsWith(".svg")).map(([, { brotli }]) => brotliDecompressSync(brotli).toString());
    const origins = new Set(texts.flatMap((text) => [...text.matchAll(/https?:\/\/[\w.-]+/g)].map(([url]) => url)));
    assert.deepEqual(
      [...origins].filter((url) => !["http://www.w3.org"].includes(url)),
      [],
    );
    assert.equal(ASSETS, "/ui/assets/");
  });

  it("the page is made of the packages that it may use, and of nothing of Node", () => {
    const packages = new Set(built.inputs.flatMap((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []));
    assert.deepEqual([...packages].sort(), [
      "@bufbuild/protobuf",
      "@connectrpc/connect",
      "@connectrpc/connect-web",
      "@preact/signals",
      "@preact/signals-core",
      "preact",
      "yaml",
    ]);
  });
});
