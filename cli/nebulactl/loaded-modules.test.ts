import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ADMIN, startTestServer } from "./testing/test-server.ts";

const ROOT = new URL("../../", import.meta.url);

/** Runs before the program, and writes down which files it loaded. */
const RECORDER = `data:text/javascript,${encodeURIComponent(`
import { registerHooks } from "node:module";
import { writeFileSync } from "node:fs";
const seen = [];
registerHooks({ load(url, context, next) { seen.push(url); return next(url, context); } });
process.on("exit", () => writeFileSync(process.env.RECORD, JSON.stringify([...seen, ...process.moduleLoadList])));
`)}`;

describe("the modules that nebulactl loads", function () {
  this.timeout(60_000);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-modules-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function loadedBy(args: readonly string[], server = ""): Promise<{ own: string[]; packages: string[]; node: string[] }> {
    const record = join(folder, "record.json");
    const env = { ...process.env, HOME: folder, NEBULA_SERVER: server, NEBULA_TOKEN: ADMIN.token, RECORD: record };
    await promisify(execFile)(process.execPath, ["--import", RECORDER, fileURLToPath(new URL("../nebulactl.js", import.meta.url)), ...args], { env });
    const urls: string[] = JSON.parse(await readFile(record, "utf8"));
    const files = urls.flatMap((url) => (url.startsWith(ROOT.href) ? [url.slice(ROOT.href.length)] : []));
    return {
      own: files.filter((file) => !file.startsWith("node_modules/")),
      packages: files.filter((file) => file.startsWith("node_modules/")),
      node: urls.flatMap((url) => /^NativeModule (.*)$/.exec(url)?.[1] ?? []),
    };
  }

  it("the loaded modules are those of the command alone: a list loads no fields, no rules, no YAML and no other noun", async () => {
    await using server = await startTestServer();
    const { own, packages, node } = await loadedBy(["apps", "list"], server.http);
    assert.ok(node.includes("_http_client"), "the recorder sees modules of Node's");
    // Of these each takes longer to load than many files; node:crypto and fetch are loaded wholly or not at all.
    assert.deepEqual(
      node.filter((url) => /^(crypto|http2|https|tls|zlib|internal\/deps\/undici\/undici)$/.test(url)),
      [],
    );
    assert.ok(own.includes("cli/nebulactl/commands/apps/apps.ts"));
    const foreign =
      /^cli\/nebulactl\/(fields|views)\/|^cli\/nebulactl\/commands\/(?!apps\/|lists\/pages\.ts|wait\/wait-flags\.ts|entities\/(noun|spec|kind|app-kind|if-revision)\.ts)|^common\/resources\/|^common\/validation\/(app|cron-job|user-group|device-group)\.ts/;
    assert.deepEqual(
      own.filter((file) => foreign.test(file)),
      [],
    );
    assert.deepEqual(
      packages.filter((file) => file.includes("/yaml/")),
      [],
    );
    assert.ok(own.length <= 68, `${own.length} modules of its own`);
    assert.ok(packages.length <= 145, `${packages.length} modules of packages`);
  });

  it("the loaded modules are few for help and version: no command, and nothing that calls a server", async () => {
    for (const args of [["--version"], ["--help"]]) {
      const { own, packages } = await loadedBy(args);
      assert.deepEqual(
        own.filter((file) => /\/nebulactl\/commands\/|^gen\//.test(file)),
        [],
      );
      assert.deepEqual(packages, [], args.join());
    }
  });
});
