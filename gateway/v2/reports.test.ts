import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { invalidArgument, isNebulaError } from "../../common/errors/nebula-error.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { ListReportsRequestSchema, ListReportsResponseSchema, type StoredReport, StoredReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { isAt, listReports, type ReadHistory, readReportsQuery, TIME_FILTERS } from "./reports.ts";

function stored(number: number, { second = number, updated = false, device = "a" } = {}): StoredReport {
  const report = sampleReport({ deviceId: device, seq: BigInt(number + 1), createdAt: timestampFromMs(second * 1000) });
  return create(StoredReportSchema, { id: number.toString(16).padStart(24, "0"), report, updated });
}

/** A manager that holds these reports, and gives out pages that may be shorter than asked for. */
function managerOf(history: readonly StoredReport[], largestPage = 1000): ReadHistory {
  return async (init) => {
    const { afterId, deviceId, pageSize, pageToken } = create(ListReportsRequestSchema, init);
    const of = history.filter(({ report }) => deviceId === "" || report?.deviceId === deviceId);
    const from = pageToken === "" ? of.findIndex(({ id }) => id > afterId) : Number(pageToken);
    const start = from < 0 ? of.length : from;
    const end = start + Math.min(pageSize, largestPage);
    return create(ListReportsResponseSchema, { reports: of.slice(start, end), nextPageToken: end < of.length ? String(end) : "" });
  };
}

function idsOf(reports: readonly object[]): string[] {
  return reports.map((report) => Object(report)._id.$oid);
}

describe("the query of GET /reports", () => {
  const read = (text: string) => readReportsQuery(new URLSearchParams(text));

  it("the query of GET /reports is ten reports of any device by default", () => {
    const none = { hostname: undefined, deviceGroup: undefined, createdAt: undefined, updated: undefined, lastId: undefined };
    for (const text of ["", "page_size=x", "page_size=-3", "page_size=0", "hostname=&last_id="])
      assert.deepEqual(read(text), { pageSize: 10, ...none });
    assert.equal(read("page_size=100000").pageSize, 1000);
  });

  it("the query of GET /reports takes each filter of v2", () => {
    const query = read(
      "page_size=3&hostname=pos-1&device_group=shops&report_creation_time=7&report_creation_time_filter=gte&updated=True&last_id=ABCDEF0123456789abcdef01",
    );
    assert.deepEqual(query, {
      pageSize: 3,
      hostname: "pos-1",
      deviceGroup: "shops",
      createdAt: { filter: "gte", seconds: 7 },
      updated: true,
      lastId: "abcdef0123456789abcdef01",
    });
    assert.equal(read("updated=False").updated, false);
    assert.deepEqual(read("report_creation_time=7").createdAt, { filter: "eq", seconds: 7 });
  });

  it("the query of GET /reports is refused with the field that is wrong", () => {
    for (const [name, value] of [
      ["report_creation_time", "yesterday"],
      ["report_creation_time_filter", "around"],
      ["updated", "maybe"],
      ["last_id", "12"],
    ] as const) {
      assert.throws(
        () => read(`${name}=${value}`),
        (error) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === name,
        name,
      );
    }
  });
});

describe("a page of GET /reports", () => {
  it("pages of GET /reports, each followed by its last_id, show each matching report once, in order, for any sizes of pages", async () => {
    const anyReport = fc.record({ second: fc.nat(5), updated: fc.boolean(), device: fc.constantFrom("a", "b") });
    const anyFilter = fc.record({
      hostname: fc.constantFrom(undefined, "a", "c"),
      updated: fc.constantFrom(undefined, true, false),
      createdAt: fc.option(fc.record({ filter: fc.constantFrom(...TIME_FILTERS), seconds: fc.nat(5) }), { nil: undefined }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyReport, { maxLength: 30 }),
        anyFilter,
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 5 }),
        async (fields, filter, pageSize, largest) => {
          const history = fields.map((each, index) => stored(index + 1, each));
          const read = managerOf(history, largest);
          const seen: string[] = [];
          let lastId: string | undefined;
          do {
            const page = await listReports(read, { pageSize, deviceGroup: undefined, lastId, ...filter });
            assert.ok(page.reports.length <= pageSize);
            seen.push(...idsOf(page.reports));
            lastId = page.lastId;
          } while (lastId !== undefined);
          const wanted = fields.flatMap((each, index) => {
            const isWanted =
              (filter.hostname ?? each.device) === each.device &&
              (filter.updated ?? each.updated) === each.updated &&
              (filter.createdAt === undefined || isAt(each.second, filter.createdAt));
            return isWanted ? [history[index]?.id] : [];
          });
          assert.deepEqual(seen, wanted);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a page of GET /reports ends after many reports that do not match, and says where", async () => {
    const read = managerOf(Array.from({ length: 12_000 }, (_, index) => stored(index + 1)));
    const query = { pageSize: 10, hostname: undefined, deviceGroup: undefined, createdAt: undefined, updated: true, lastId: undefined };
    const first = await listReports(read, query);
    assert.deepEqual([first.reports.length, Number.parseInt(first.lastId ?? "", 16)], [0, 10_000]);
    assert.deepEqual(await listReports(read, { ...query, lastId: first.lastId }), { reports: [], lastId: undefined });
  });

  it("a page of GET /reports accepts pages of a manager that are short or empty, and ends after many of them with an id to resume at", async () => {
    const total = 500;
    const read: ReadHistory = async (init) => {
      const { afterId, pageToken } = create(ListReportsRequestSchema, init);
      const from = Number.parseInt(pageToken === "" ? afterId || "0" : pageToken, 16);
      // every hundredth page holds one report, the others none
      const reports = (from + 1) % 100 === 0 ? [stored(from + 1)] : [];
      return create(ListReportsResponseSchema, { reports, nextPageToken: from + 1 < total ? (from + 1).toString(16).padStart(24, "0") : "" });
    };
    const query = { pageSize: 2, hostname: undefined, deviceGroup: undefined, createdAt: undefined, updated: undefined };
    const seen: string[] = [];
    let pages = 0;
    for (let lastId: string | undefined = "0".repeat(24); lastId !== undefined; pages++) {
      const page: Awaited<ReturnType<typeof listReports>> = await listReports(read, { ...query, lastId });
      seen.push(...idsOf(page.reports));
      lastId = page.lastId;
    }
    assert.deepEqual(
      seen.map((id) => Number.parseInt(id, 16)),
      [100, 200, 300, 400, 500],
    );
    assert.ok(pages > 1, "one request read everything");
  });

  it("a page of GET /reports is empty for an invalid name", async () => {
    const query = { pageSize: 10, hostname: "no name", deviceGroup: undefined, createdAt: undefined, updated: undefined, lastId: undefined };
    const refusing = (field: string) => async () => {
      throw invalidArgument([{ field, description: "is invalid" }]);
    };
    assert.deepEqual(await listReports(refusing("device_id"), query), { reports: [], lastId: undefined });
    await assert.rejects(listReports(refusing("after_id"), query), (error) => isNebulaError(error, "invalid_argument"));
  });
});
