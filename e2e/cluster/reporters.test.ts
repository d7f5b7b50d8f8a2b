import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { createKafka } from "../../common/bus/kafka/kafka-client.ts";
import { NO_LOGIN } from "../../common/bus/kafka/kafka-login.ts";
import { groupIdOf } from "../../common/bus/kafka/kafka-topic.ts";
import { parseKafkaUrl } from "../../common/bus/kafka/kafka-url.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { openCassandra } from "../../common/storage/cassandra/open-cassandra.ts";
import { createCassandraReportStore } from "../../common/storage/cassandra/reports/report-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { requireServers } from "../../common/testing/servers.ts";
import { openOptions } from "../../common/testing/test-keyspace.ts";
import { ReportSchema, ReportService, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import { Api } from "../harness/api.ts";
import { Cluster } from "../harness/cluster.ts";
import type { Member } from "../harness/cluster-member.ts";
import type { Acknowledged } from "./device-record.ts";
import { ReportLedger } from "./report-ledger.ts";

const DEVICES = 50;
/** Reports of each device in one wave: a shard takes 20 in a row. */
const WAVE = 5;
const WHOLE_MS = 60_000;

describe("reporters of a cluster on Kafka and Cassandra", function () {
  this.timeout(240_000);
  let cluster: Cluster;
  let api: Api;
  before(async function () {
    const servers = await requireServers(this);
    cluster = await Cluster.start({ servers, shards: 1, reporters: 1, proxied: true });
    const [shard] = cluster.shards;
    api = new Api(shard?.address ?? assert.fail(), cluster.password);
  });
  after(async () => {
    api?.[Symbol.dispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  const acknowledged: Acknowledged[] = [];
  const ids = Array.from({ length: DEVICES }, (_, index) => `device-${index}`);
  let sent = 0;

  /** Has every device send some reports, one after the other, as workers do: again until it is acknowledged. */
  async function sendWave(): Promise<void> {
    const from = sent;
    sent += WAVE;
    const one = async (deviceId: string, seq: number) => {
      const report = create(ReportSchema, { deviceId, deviceGroup: "shops", boot: "boot", seq: BigInt(seq), state: TargetState.APPLIED });
      const call = { headers: api.headers, timeoutMs: 20_000 };
      await eventually(() => api.channel.unary(ReportService.method.submitReports, { reports: [report] }, call).then(() => true), {
        timeoutMs: WHOLE_MS,
        everyMs: 200,
      });
      acknowledged.push({ deviceId, boot: "boot", seq: BigInt(seq) });
    };
    await Promise.all(
      ids.map(async (deviceId) => {
        for (let seq = from + 1; seq <= from + WAVE; seq++) await one(deviceId, seq);
      }),
    );
  }

  async function assertWhole(ledger: ReportLedger): Promise<void> {
    let flaws: readonly string[] = [];
    await eventually(
      async () => {
        flaws = await ledger.flaws(acknowledged);
        return flaws.length === 0;
      },
      { timeoutMs: WHOLE_MS, everyMs: 500 },
    ).catch((error) => {
      throw new Error(`${flaws.length} reports, such as ${flaws.slice(0, 5).join("; ")}`, { cause: error });
    });
  }

  const outcomes = async (members: readonly Member[], outcome: string) => {
    const counts = await Promise.all(members.map((member) => member.metric("nebula_reporter_reports_total", { outcome })));
    return counts.reduce((sum, count) => sum + count, 0);
  };

  it("reporters lose nothing and store nothing twice: one killed in the middle of a batch, a second one joining, offsets set back", async () => {
    const ledger = new ReportLedger(api);
    const [reporter = assert.fail()] = cluster.reporters;
    await sendWave();
    await assertWhole(ledger);

    await using client = await openCassandra(openOptions(cluster.backends.store));
    const store = createCassandraReportStore({ client, reportTtlMs: 26 * 3_600_000, clock: systemClock });
    /** Whether a device has a report in the history that its row does not know: a batch is between its statements. */
    const isMidBatch = async () => {
      const rows = await store.statuses(ids);
      const newest = await Promise.all(
        ids.map(async (deviceId) => {
          const { items } = await store.listReports({ deviceId }, { limit: 100 });
          return items.some(({ report }) => report !== undefined && report.seq > (rows.get(deviceId)?.device.report?.seq ?? 0n));
        }),
      );
      return newest.includes(true);
    };
    const { proxies, program } = reporter;
    await proxies.cassandra.set("delay");
    await sendWave();
    const stopsMidBatch = async () => {
      if (!(await isMidBatch())) return false;
      await proxies.cassandra.set("black hole"); // nothing of it goes on
      if (await isMidBatch()) return true;
      await proxies.cassandra.set("delay");
      return false;
    };
    await eventually(stopsMidBatch, { timeoutMs: WHOLE_MS, everyMs: 20 });
    await program.kill();
    assert.ok(proxies.cassandra.struck.delay > 0);
    await proxies.cassandra.set(undefined);
    assert.ok(await isMidBatch(), "the batch was over when its reporter was killed");

    const wave = sendWave();
    reporter.launch();
    const second = await cluster.addReporter("reporter-1");
    await Promise.all([reporter.ready(), wave]);
    await assertWhole(ledger);

    for (const member of [reporter, second]) assert.equal(await member.program.stop(), 0);
    const { topic, ...address } = parseKafkaUrl(cluster.backends.bus);
    const admin = createKafka({ topic, ...address }, NO_LOGIN, silentLog).admin();
    await admin.connect();
    await admin.resetOffsets({ groupId: groupIdOf(topic), topic, earliest: true });
    await admin.disconnect();
    for (const member of [reporter, second]) member.launch();
    await Promise.all([reporter.ready(), second.ready()]);
    const before = acknowledged.length;
    await sendWave();
    await assertWhole(ledger);
    await eventually(async () => (await outcomes([reporter, second], "repeat")) >= before, { timeoutMs: WHOLE_MS });
    assert.deepEqual([await outcomes([reporter, second], "newest"), await outcomes([reporter, second], "late")], [acknowledged.length - before, 0]);
    const history = await Promise.all(ids.map(async (deviceId) => (await store.listReports({ deviceId }, { limit: 1000 })).items.length));
    assert.deepEqual(new Set(history), new Set([sent]));
  });
});
