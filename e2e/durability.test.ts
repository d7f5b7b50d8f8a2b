import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CONFIG_DATABASE } from "../common/open-drivers.ts";
import { openSqliteConfigStore } from "../common/storage/sqlite/config-store.ts";
import { eventually } from "../common/testing/eventually.ts";
import { readHistory } from "../common/testing/read-all.ts";
import { Server } from "./harness/server.ts";

const KILLS = process.env.NEBULA_TEST_LONG === "1" ? 20 : 3;
const WRITERS = 8;
/** Acknowledged at least, between two kills. */
const WRITES_PER_KILL = 10;

describe("durability", function () {
  this.timeout(KILLS * 60_000);

  it(`a server that is killed in the middle of writes, ${KILLS} times, has every write that it acknowledged, and gave no revision twice`, async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "nebula-e2e-durability-"));
    try {
      await using server = await Server.start({ dataDir });
      /** Every acknowledged write: app -> revision -> the value it carried. */
      const acknowledged = new Map<string, Map<bigint, string>>();
      let value = 0;
      let total = 0;
      for (let i = 0; i < WRITERS; i++) {
        const app = await server.api.createApp({ name: `app-${i}`, dockerImage: "shop:1", envVars: { VALUE: "first" } });
        acknowledged.set(app.name, new Map([[app.revision, "first"]]));
      }
      for (let kill = 0; kill < KILLS; kill++) {
        let writing = true;
        const writers = [...acknowledged].map(async ([name, revisions]) => {
          while (writing) {
            const carried = String(value++);
            try {
              const { revision } = await server.api.updateApp(name, { envVars: { VALUE: carried } });
              assert.equal(revisions.has(revision), false, `${name} revision ${revision} was given twice`);
              revisions.set(revision, carried);
              total++;
            } catch (error) {
              if (error instanceof assert.AssertionError) throw error;
              return; // the server is gone; whether this write counted is not known
            }
          }
        });
        const before = total;
        await eventually(() => total - before > WRITES_PER_KILL, { timeoutMs: 30_000 });
        await delay(Math.random() * 400);
        await server.kill();
        writing = false;
        await Promise.all(writers);
        await server.startAgain();
        for (const [name, revisions] of acknowledged) {
          const newest = [...revisions.keys()].reduce((a, b) => (a > b ? a : b));
          const stored = await server.api.updateApp(name, { envVars: { PROBE: String(kill) } }, { updateFields: ["env_vars.PROBE"] });
          assert.ok(stored.revision > newest, `${name} went back to ${stored.revision}, ${newest} was acknowledged`);
          revisions.set(stored.revision, stored.envVars.VALUE ?? "");
        }
      }
      await server.stop();
      await using store = await openSqliteConfigStore({ path: join(dataDir, CONFIG_DATABASE) });
      for (const [name, revisions] of acknowledged) {
        const history = await readHistory(store, { kind: "app", name });
        const stored = new Map(history.map((entity) => [entity.revision, Buffer.from(entity.body).toString("latin1")]));
        assert.equal(stored.size, history.length, "each revision is in the history once");
        const oldestKept = history.at(-1)?.revision ?? 0n;
        for (const [revision, carried] of revisions) {
          if (revision >= oldestKept) assert.ok(stored.get(revision)?.includes(carried), `${name} revision ${revision}, which carried ${carried}`);
        }
      }
      console.log(`      ${total} acknowledged writes, ${KILLS} kills`);
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  });
});
