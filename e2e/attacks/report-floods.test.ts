import { strict as assert } from "node:assert";
import { statSync } from "node:fs";
import { join } from "node:path";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { HISTORY_BYTES_PER_DEVICE } from "../../common/storage/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { readAll } from "../../common/testing/read-all.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { REPORTS } from "../../manager/access/limits/report-limits.ts";
import { RawClient } from "../../manager/testing/raw-client.ts";
import { ReportingWatch, reportsRequest, watchRequest } from "../../manager/testing/reporting-watch.ts";
import { Server } from "../harness/server.ts";

const RESOURCE_EXHAUSTED = 8;

type Headers = Readonly<Record<string, string>>;

describe("attacks with reports", function () {
  this.timeout(60_000);
  let server: Server;

  Server.forSuite({ env: { NEBULA_MAX_DEVICES_PER_GROUP: "3" } }, async (started) => {
    server = started;
    await server.api.createGroup("a", []);
  });

  async function enrolled(deviceId: string): Promise<Headers> {
    const { channel, headers } = server.api;
    const { token } = await channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "a" }, { headers });
    const own = newToken();
    const request = { deviceId, tokenHash: Buffer.from(tokenHash(own), "hex") };
    await channel.unary(AccessService.method.enrollDevice, request, { headers: { authorization: `Bearer ${token}` } });
    return { authorization: `Bearer ${own}` };
  }

  /** Sends one report; answers what came of it: taken, or the time after which it is to come again, milliseconds. */
  async function send(deviceId: string, seq: number, headers: Headers, reason = "", deviceGroup = "a"): Promise<"taken" | number> {
    const report = sampleReport({ deviceId, deviceGroup, seq: BigInt(seq), apps: [{ name: "web", reason }] });
    try {
      await server.api.channel.unary(ReportService.method.submitReports, { reports: [report] }, { headers, timeoutMs: 30_000 });
      return "taken";
    } catch (error) {
      if (isNebulaError(error, "resource_exhausted")) return error.retryAfterMs ?? assert.fail("without a time to come back");
      throw error;
    }
  }

  it("a device that floods has a burst taken and then a report at its pace, with the time to come back, and no other device waits", async () => {
    const mad = await enrolled("mad");
    const calm = await enrolled("calm");
    const begun = performance.now();
    const answers: ("taken" | number)[] = [];
    for (let round = 0; round < 10; round++)
      answers.push(...(await Promise.all(Array.from({ length: 50 }, (_, index) => send("mad", round * 50 + index + 1, mad)))));
    const taken = answers.filter((answer) => answer === "taken").length;
    const most = REPORTS.inARow + Math.ceil((performance.now() - begun) / REPORTS.oneMoreMs);
    assert.ok(taken >= REPORTS.inARow && taken <= most, `${taken} of ${answers.length} were taken, at most ${most}`);
    const waits = answers.filter((answer) => answer !== "taken");
    assert.ok(
      waits.every((ms) => ms > 0 && ms <= REPORTS.oneMoreMs),
      String(waits),
    );
    assert.equal(await send("calm", 1, calm), "taken");
  });

  it("a device that floods on the stream of its watch has no more taken, and no other device waits", async () => {
    const mad = await enrolled("mad-watch");
    const calm = await enrolled("calm-watch");
    await using client = new RawClient(server.grpcPort);
    const begun = performance.now();
    const watch = new ReportingWatch(client, mad).send(watchRequest({ deviceGroup: "a", deviceId: "mad-watch", serveHere: true }));
    const reports = Array.from({ length: 300 }, (_, index) => sampleReport({ deviceId: "mad-watch", deviceGroup: "a", seq: BigInt(index + 1) }));
    watch.send(...reports.map((report) => reportsRequest([report])));
    assert.equal(await send("calm-watch", 1, calm), "taken");
    await eventually(() => watch.reported.length === reports.length, { timeoutMs: 30_000 });
    const taken = watch.reported.filter(({ code }) => code === 0).length;
    const most = REPORTS.inARow + Math.ceil((performance.now() - begun) / REPORTS.oneMoreMs);
    assert.ok(taken >= REPORTS.inARow && taken <= most, `${taken} of ${reports.length} were taken, at most ${most}`);
    const refused = watch.reported.filter(({ code }) => code !== 0);
    assert.ok(refused.every(({ code, retryAfterMs }) => code === RESOURCE_EXHAUSTED && retryAfterMs > 0 && retryAfterMs <= REPORTS.oneMoreMs));
    assert.equal(watch.status, undefined);
  });

  it("a device that fills the history is kept to its bytes there, and its newest status is updated", async () => {
    const fat = await enrolled("fat");
    const reason = "x".repeat(900_000);
    for (let seq = 1; seq <= REPORTS.inARow; seq++) assert.equal(await send("fat", seq, fat, reason), "taken");
    assert.equal((await server.api.device("fat"))?.report?.seq, BigInt(REPORTS.inARow));
    const { channel, headers } = server.api;
    const history = await readAll(async ({ after = "" }) => {
      const request = { deviceId: "fat", pageSize: 1000, pageToken: after };
      const { reports, nextPageToken } = await channel.unary(ReportService.method.listReports, request, { headers });
      return { items: reports, next: nextPageToken === "" ? undefined : nextPageToken };
    }, 1000);
    assert.equal(history.length, Math.ceil(HISTORY_BYTES_PER_DEVICE / (reason.length + 100)));
    const { size } = statSync(join(server.dataDir, "reports.db"));
    assert.ok(size < 2 * HISTORY_BYTES_PER_DEVICE, `reports.db has ${size} bytes`);
  });

  it("invented devices are admitted up to the number of a group, and those with a token of their own besides", async () => {
    const { headers } = server.api;
    const answers = [];
    for (let number = 1; number <= 6; number++) answers.push(await send(`made-up-${number}`, 1, headers));
    assert.deepEqual(answers.slice(0, 3), ["taken", "taken", "taken"]);
    assert.ok(
      answers.slice(3).every((answer) => typeof answer === "number" && answer > 0 && answer <= 60_000),
      String(answers),
    );
    assert.equal(await server.api.device("made-up-4"), undefined);
    assert.equal(await send("made-up-1", 2, headers), "taken");
    assert.equal(await send("late", 1, await enrolled("late")), "taken");
  });

  it("invented device_groups admit invented devices up to the number of one group, all together, and a group that is created has its own", async () => {
    const { headers } = server.api;
    const answers = [];
    for (let number = 1; number <= 6; number++) answers.push(await send(`stray-${number}`, 1, headers, "", `none-${number}`));
    assert.deepEqual(answers.slice(0, 3), ["taken", "taken", "taken"]);
    assert.ok(
      answers.slice(3).every((answer) => typeof answer === "number" && answer > 0 && answer <= 60_000),
      String(answers),
    );
    assert.equal(await send("stray-1", 2, headers, "", "none-1"), "taken");
    await server.api.createGroup("none-4", []);
    assert.equal(await send("stray-4", 1, headers, "", "none-4"), "taken");
  });
});
