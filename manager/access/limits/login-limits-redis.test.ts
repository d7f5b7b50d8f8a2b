import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import { openDrivers } from "../../../common/open-drivers.ts";
import { redisUrl, requireServer } from "../../../common/testing/servers.ts";
import { createFailedLogins } from "./failed-logins.ts";

describe("failed logins of two shards on Redis", () => {
  let redis = "";
  before(async function () {
    redis = redisUrl(await requireServer(this, "redis"));
  });

  it("the second shard refuses a user and address after ten guesses on the first, with the time that is left", async () => {
    await using stack = new AsyncDisposableStack();
    const dataDir = await mkdtemp(join(tmpdir(), "nebula-login-counts-"));
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
    const settings = { dataDir, store: "sqlite:", reports: "sqlite:", bus: "memory:", redis, cacheTimeMs: 10_000, reportTtlMs: 93_600_000 };
    const clusterKey = async () => "cluster key of a test of login counts";
    const signal = new AbortController().signal;
    let waitedMs = 0;
    const clock = {
      ...systemClock,
      now: () => systemClock.now(),
      monotonic: () => systemClock.monotonic() + waitedMs,
      async sleep(ms: number) {
        waitedMs += ms;
      },
    };
    const shard = async () => {
      const drivers = stack.use(await openDrivers(["loginCounts"], { settings, clock: systemClock, log: silentLog, clusterKey }));
      return createFailedLogins({ shared: drivers.loginCounts, clock, log: silentLog, signal });
    };
    const [first, second] = [await shard(), await shard()];
    const attempt = { address: "192.0.2.77", user: `user-${systemClock.monotonic()}` };
    for (let tries = 0; tries < 10; tries++) (await first.begin(attempt))("invalid");
    await assert.rejects(
      second.begin(attempt),
      (error) => isNebulaError(error, "resource_exhausted") && error.retryAfterMs !== undefined && error.retryAfterMs > 10_000,
    );
    (await second.begin({ ...attempt, user: `${attempt.user}-other` }))("invalid");
  }).timeout(20_000);
});
