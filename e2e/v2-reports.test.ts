import { strict as assert } from "node:assert";
import { credentials } from "@grpc/grpc-js";
import { ADMIN, startTestServer, type TestServer } from "../cli/nebulactl/testing/test-server.ts";
import { authorizationOf } from "../common/access/authorization.ts";
import { GrpcChannel } from "../common/rpc/grpc-channel.ts";
import { eventually } from "../common/testing/eventually.ts";
import { sampleReport } from "../common/testing/sample-report.ts";
import { DeviceGroupService } from "../gen/nebula/v1/device_group_pb.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import { encodedOriginalReport, originalReport, SECRET_IN_SAMPLE } from "../reporter/testing/original-report.ts";

const LOGIN = { authorization: authorizationOf({ kind: "password", user: ADMIN.user, password: ADMIN.password }) };
const signal = new AbortController().signal;

type Page = { data: Record<string, unknown>[] | null; last_id: { $oid: string } | null };

/** A server in this process, as its bus is `memory:`, on which the test stands for the original's workers. */
describe("GET /api/v2/reports", () => {
  let server: TestServer;
  let channel: GrpcChannel;

  before(async () => {
    server = await startTestServer();
    channel = new GrpcChannel(server.grpc.slice("grpc://".length), credentials.createInsecure());
    await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: "shops" } }, { headers: LOGIN });
  });
  after(async () => {
    channel[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  async function get(query: string, headers: Record<string, string> = LOGIN): Promise<Response> {
    return await fetch(`${server.http}/api/v2/reports?${query}`, { headers });
  }

  async function page(query: string): Promise<Page> {
    const response = await get(query);
    assert.equal(response.status, 200, await response.clone().text());
    return JSON.parse(await response.text());
  }

  const sendOriginal = (changes: object) => server.reportBus.publish({ key: null, value: encodedOriginalReport({ ...changes }) }, signal);
  const sendOurs = (seq: bigint, appliedRevision: bigint) =>
    channel.unary(
      ReportService.method.submitReports,
      {
        reports: [
          sampleReport({
            deviceId: "box-a1b2c3",
            seq,
            apps: [{ name: "web", revision: 2n, appliedRevision, containers: [{ name: "web-1", id: "f00", memoryBytes: 7n }] }],
            host: {
              hostname: "box",
              cpuCores: 2,
              memoryTotalBytes: 8n << 30n,
              memoryAvailableBytes: 3n << 30n,
              diskTotalBytes: 64n << 30n,
              diskFreeBytes: 16n << 30n,
            },
          }),
        ],
      },
      { headers: LOGIN },
    );

  it("GET /reports answers null while there are none, and nothing to a caller without a login", async () => {
    assert.deepEqual(await page(""), { data: null, last_id: null });
    assert.equal((await get("", {})).status, 401);
  });

  it("GET /reports shows the reports of the original's workers as they sent them, but for env values, and those of ours in the same shape", async () => {
    await sendOriginal({ updated: false });
    await sendOurs(1n, 1n);
    const { data, last_id } = await eventually(async () => {
      const all = await page("");
      return all.data?.length === 2 && all;
    });
    assert.equal(last_id, null);
    const [original, ours] = data ?? [];
    assert.ok(original && ours);
    const { _id, report_insert_date, ...sent } = original;
    assert.match(Object(_id).$oid, /^[0-9a-f]{24}$/);
    assert.ok(Math.abs(Object(report_insert_date).$date - Date.now()) < 60_000);
    const text = JSON.stringify({ ...originalReport(), updated: false });
    assert.deepEqual(sent, JSON.parse(text.replaceAll(`"${SECRET_IN_SAMPLE}"`, '""').replace('"REGION":"eu"', '"REGION":""')));

    assert.deepEqual(Object.keys(ours).sort(), Object.keys(original).sort());
    assert.deepEqual([ours.hostname, ours.device_group, ours.updated], ["box-a1b2c3", "shops", true]);
    assert.deepEqual(ours.memory_usage, { total: 8192, used: 5120, free: 3072, available: 3072 });
    assert.deepEqual(ours.root_disk_usage, { total: 65_536, used: 49_152, free: 16_384 });
    assert.deepEqual(Object(ours.current_device_group_config).apps, [{ app_name: "web", app_id: 1 }]);
    const [container] = Object(ours.apps_containers);
    assert.deepEqual([container.name, container.id, container.memory_stats], ["/web-1", "f00", { usage: 7 }]);
  });

  it("GET /reports filters and pages as v2 does", async () => {
    const first = Number(originalReport().report_creation_time);
    for (let n = 1; n <= 5; n++) await sendOriginal({ report_creation_time: first + n, updated: n % 2 === 0 });
    await sendOurs(2n, 1n);
    await sendOurs(3n, 2n);
    await eventually(async () => (await page("page_size=100")).data?.length === 9);
    const times = async (query: string) =>
      ((await page(`hostname=pos-0042&page_size=100&${query}`)).data ?? []).map((report) => Number(report.report_creation_time) - first);
    assert.deepEqual(await times(""), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(await times(`report_creation_time=${first + 2}`), [2]);
    assert.deepEqual(await times(`report_creation_time=${first + 3}&report_creation_time_filter=gt`), [4, 5]);
    assert.deepEqual(await times(`report_creation_time=${first + 1}&report_creation_time_filter=ne`), [0, 2, 3, 4, 5]);
    assert.deepEqual(await times("updated=True"), [2, 4]);
    assert.deepEqual(await times("device_group=nobody"), []);
    assert.deepEqual(
      (await page("hostname=box-a1b2c3")).data?.map(({ updated }) => updated),
      [true, false, true],
    );

    const walked: unknown[] = [];
    for (let last: string | undefined = ""; last !== undefined; ) {
      const next: Page = await page(`page_size=4&device_group=shops&last_id=${last}`);
      walked.push(...(next.data ?? []).map((report) => Object(report._id).$oid));
      last = next.last_id?.$oid;
    }
    assert.equal(new Set(walked).size, 9);
    assert.equal(walked.length, 9);
  });

  it("GET /reports refuses an invalid filter by its name", async () => {
    const response = await get("last_id=12&updated=maybe");
    assert.equal(response.status, 400);
    assert.deepEqual(Object.keys(Object(await response.json()).invalid_parameters).sort(), ["last_id", "updated"]);
  });
});
