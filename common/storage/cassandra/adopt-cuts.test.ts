import { strict as assert } from "node:assert";
import { systemClock } from "../../clock/system-clock.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { cutClient } from "../../testing/cut-client.ts";
import { sampleReport } from "../../testing/sample-report.ts";
import { statusRow, storedReport } from "../../testing/save-reports.ts";
import { requireServer } from "../../testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../testing/test-keyspace.ts";
import type { AccessRecord } from "../access-store.ts";
import type { EntityRecord } from "../config-store.ts";
import { freshSamples, NOW_MS } from "../contracts/access-store-samples.ts";
import { appWrite, freshName, groupWrite } from "../contracts/config-store-samples.ts";
import { type Movable, recordText } from "../movable.ts";
import type { DeviceRecord } from "../report-store.ts";
import { createCassandraAccessStore } from "./access/access-store.ts";
import type { StoreClient } from "./connection/client.ts";
import { openCassandraConfigStore } from "./entities/config-store.ts";
import { createEntityRecords } from "./entities/entity-records.ts";
import { createCassandraReportStore } from "./reports/report-store.ts";

/** More statements than one adoption takes. */
const MOST_STATEMENTS = 60;
const REPORT_TTL_MS = 26 * 3_600_000;

describe("a record that a store on Cassandra adopts, cut after any of its statements, and then again", function () {
  this.timeout(120_000);
  let keyspace: TestKeyspace;
  before(async function () {
    keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
  });
  after(() => keyspace?.[Symbol.asyncDispose]());

  const accessOn = (client: StoreClient) => createCassandraAccessStore({ client, clock: systemClock, auditRetentionMs: 86_400_000 });
  const reportsOn = (client: StoreClient) => createCassandraReportStore({ client, clock: systemClock, reportTtlMs: REPORT_TTL_MS });

  /** Cuts the adoption of a fresh record after each of its statements in turn, until one is not cut; answers how many were. */
  async function cutEverywhere<R extends Readonly<{ kind: string }>>(
    storeOn: (client: StoreClient) => Pick<Movable<R>, "adopt" | "counterpart">,
    recordOf: () => R,
    check: (record: R) => Promise<void>,
    isPart: (found: R) => boolean = () => false,
  ): Promise<number> {
    let cuts = 0;
    for (const answered of [true, false]) {
      for (let statements = answered ? 0 : 1, struck = true; struck; statements++) {
        assert.ok(statements < MOST_STATEMENTS, "the adoption ends");
        const record = recordOf();
        const client = cutClient(keyspace.client, statements, answered);
        const outcome = await storeOn(client)
          .adopt(record)
          .then(
            () => "done",
            (error) => (isNebulaError(error, "unavailable") ? "cut" : assert.fail(String(error))),
          );
        struck = client.struck();
        if (struck) cuts++;
        const store = storeOn(keyspace.client);
        const found = await store.counterpart(record);
        if (found !== undefined && !isPart(found)) assert.equal(recordText(found), recordText(record), "what is found is whole");
        if (found !== undefined && !isPart(found)) await check(record);
        if (outcome === "done") assert.equal(recordText(found), recordText(record));
        await store.adopt(record);
        assert.equal(recordText(await store.counterpart(record)), recordText(record));
        await check(record);
      }
    }
    return cuts;
  }

  it("an entity has its whole history, its name and its members as soon as it is found", async () => {
    const store = await openCassandraConfigStore({ client: keyspace.client, clock: systemClock });
    const recordOf = (): EntityRecord => {
      const name = freshName("cut");
      const body = new Uint8Array(150_000); // two revisions do not fit into one batch
      const history = [2n, 1n, 0n].map((expected) => {
        const { expected: _, members: __, ...revision } = groupWrite(name, expected, [], [], { body });
        return revision;
      });
      const [newest = assert.fail()] = history;
      return { kind: "device_group", name, newest, members: { apps: [`${name}-web`], cronJobs: [] }, history };
    };
    const cuts = await cutEverywhere(createEntityRecords, recordOf, async ({ name }) => {
      assert.deepEqual(await store.groupsNaming("app", `${name}-web`), [name]);
      assert.deepEqual(await store.namesInOtherCase({ kind: "device_group", name: name.toUpperCase() }), [name]);
    });
    assert.ok(cuts >= 10, `${cuts} cuts`);
    assert.deepEqual(await store.write(appWrite(freshName("other"), 0n)), { kind: "written" });
  });

  it("the token of a user, of an enrolment or of a device authenticates as soon as its record is found", async () => {
    const kinds: readonly ((samples: ReturnType<typeof freshSamples>) => AccessRecord)[] = [
      ({ userWrite }) => {
        const { expected: _, ...user } = userWrite("ann", 3n);
        return { kind: "user", user };
      },
      ({ enrolment }) => ({ kind: "enrolment", enrolment: enrolment("e1") }),
      ({ n, hashOf }) => {
        const times = { enrolledAt: NOW_MS, rotatedAt: 0 };
        const hashes = { tokenHash: hashOf("in use"), nextHash: hashOf("next") };
        return { kind: "device", device: { deviceId: n("d1"), deviceGroup: n("shops"), enrolmentId: "e", ...hashes, ...times } };
      },
    ];
    for (const recordOf of kinds) {
      const cuts = await cutEverywhere(
        (client) => accessOn(client).records,
        () => recordOf(freshSamples()),
        async (record) => {
          const hash = record.kind === "user" ? record.user.tokenHash : record.kind === "enrolment" ? record.enrolment.tokenHash : "";
          const hashes = record.kind === "device" ? [record.device.tokenHash, record.device.nextHash] : [hash];
          for (const each of hashes) assert.equal((await accessOn(keyspace.client).tokenOwner(each))?.kind, record.kind);
        },
      );
      assert.ok(cuts >= 6, `${cuts} cuts`);
    }
  });

  it("a device has all its reports once it has its row, and a part of them before", async () => {
    const receivedMs = systemClock.now() - 60_000;
    const recordOf = (): DeviceRecord => {
      const deviceId = freshName("device");
      const reports = [1n, 2n].map((seq) =>
        storedReport(sampleReport({ deviceId, deviceGroup: deviceId, seq, receivedMs: receivedMs + Number(seq) })),
      );
      return { kind: "device", deviceId, row: statusRow(reports[1]?.report ?? assert.fail(), BigInt(receivedMs) * 1000n), reports };
    };
    const cuts = await cutEverywhere(
      (client) => reportsOn(client).records,
      recordOf,
      async ({ deviceId, reports }) => {
        const store = reportsOn(keyspace.client);
        assert.deepEqual((await store.listDevices({ deviceGroup: deviceId }, { limit: 9 })).items.length, 1);
        const listed = await store.listReports({ deviceGroup: deviceId, receivedFromMs: receivedMs }, { limit: 9 });
        assert.deepEqual(
          listed.items.map(({ id }) => id),
          reports.map(({ id }) => id),
        );
      },
      ({ row }) => row === undefined,
    );
    assert.ok(cuts >= 8, `${cuts} cuts`);
  });
});
