import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import type { TestServers } from "../../common/testing/backends.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { runOnCluster } from "./on-cluster.ts";

const isLong = process.env.NEBULA_TEST_LONG === "1";
/** How long one file may take. */
const LIMIT_MS = isLong ? 840_000 : 240_000;

/** The part of a file that `npm test` runs: all of it, or the tests whose title has `only`; and how many tests that is, at least. */
type Slice = Readonly<{ only?: RegExp; atLeast: number }>;

const SLICE: Readonly<Record<string, Slice>> = {
  "e2e/app-changes.test.ts": { only: /from one API call|ports: single|nothing but the revision/, atLeast: 3 },
  "e2e/v2-apps.test.ts": { atLeast: 45 },
  "e2e/v2-device-groups.test.ts": { atLeast: 20 },
  "e2e/v2-users.test.ts": { atLeast: 20 },
  "e2e/v2-reports.test.ts": { atLeast: 4 },
  "e2e/auth-matrix.test.ts": { only: /AppService\.(Get|Update|Delete)|ReportService/, atLeast: 10 },
  "cli/nebulactl/commands/apply/apply.test.ts": { only: /round trip/, atLeast: 1 },
  "cli/nebulactl/commands/devices/devices.test.ts": { atLeast: 3 },
};

/** Files that start a server and stay on the embedded drivers, with the reason. */
const EMBEDDED_ONLY: Readonly<Record<string, string>> = {
  "e2e/attacks/report-floods.test.ts": "measures the file of the embedded report store",
  "e2e/durability.test.ts": "reads the file of the embedded store after a kill",
  "e2e/limits.test.ts": "counts the connections of one process",
  "e2e/malformed.test.ts": "measures the memory of one process",
  "e2e/no-secrets.test.ts": "searches the files of the embedded stores",
  "e2e/readme.test.ts": "runs the README's commands, which are of the embedded server",
  "e2e/restore.test.ts": "restores the files of the embedded stores",
  "e2e/secret-env.test.ts": "searches the files of the embedded stores",
  "e2e/clusters.test.ts": "moves a device between embedded servers that have data folders",
  "e2e/tls.test.ts": "sets up TLS of `nebula server`",
  "e2e/chaos/chaos.test.ts": "disturbs one process; e2e/cluster/ has the faults of a cluster",
};

/** Every file whose suites start a server through what can start a cluster in its place. */
function filesWithServers(): string[] {
  const files = globSync(["e2e/*.test.ts", "e2e/attacks/*.test.ts", "e2e/chaos/*.test.ts", "cli/nebulactl/**/*.test.ts"]);
  return files.filter((file) =>
    /FleetRig\.describe|Server\.(start|forSuite)\(|V2Client\.describe|openStage\(|startTestServer\(/.test(readFileSync(file, "utf8")),
  );
}

describe("suites of one server run unchanged on two shards, a reporter and a gateway", function () {
  this.timeout(LIMIT_MS + 60_000); // time to end what takes too long
  let servers: TestServers;
  before(async function () {
    servers = await requireServers(this);
  });

  const files = filesWithServers().filter((file) => EMBEDDED_ONLY[file] === undefined);

  it("the lists name each file that stays on the embedded drivers, and no other", () => {
    const all = filesWithServers();
    assert.ok(files.length > 20, `${files.length} files`);
    assert.deepEqual(
      Object.keys({ ...EMBEDDED_ONLY, ...SLICE }).filter((file) => !all.includes(file)),
      [],
    );
  });

  for (const file of files) {
    const slice = SLICE[file];
    if (slice === undefined && !isLong) continue;
    const { only = undefined, atLeast = 1 } = slice ?? {};
    it(`${file} passes on a cluster`, async () => {
      const { passed, skipped, failed } = await runOnCluster(file, { servers, limitMs: LIMIT_MS, only: isLong ? undefined : only });
      assert.equal(failed.join("\n\n"), "");
      if (slice !== undefined) assert.deepEqual(skipped, []);
      assert.ok(passed.length >= atLeast, `${passed.length} tests: ${passed.join("; ")}`);
    });
  }
});
