import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { ownersOf } from "../common/membership/rendezvous.ts";
import { ASSUMED, MANAGER_CORES, PAGE, readFigures, SIZES, sizeOf, sizesTable, withTable } from "./sizes.ts";

const TEXT = readFileSync(PAGE, "utf8");
const FIGURES = readFigures();

describe("docs/sizing.md", () => {
  it("docs/sizing.md has the table that follows from the measured figures; `npm run sizes -- --write` makes it", () => {
    assert.equal(TEXT, withTable(TEXT, sizesTable(SIZES, ASSUMED, FIGURES)));
  });

  it("docs/sizing.md names the measured figures of one server as docs/performance.md does, and the assumptions of the calculator", () => {
    const { deviceKb, tlsKb, tlsReserveKib, leaseBytes, idleMb, reportWireBytes } = FIGURES;
    for (const words of [
      `| memory | ${deviceKb} KB for each connected device, and ${tlsKb} KB more with TLS: ${((19_900 * (deviceKb + tlsKb)) / 1e6).toFixed(1)} GB |`,
      `*${tlsReserveKib} KiB*`,
      `*${leaseBytes} bytes*`,
      `*${idleMb} MB*`,
      `*${reportWireBytes} bytes*`,
      `| P | ${ASSUMED.perShard.toLocaleString("en")} devices`,
      `| G | ${ASSUMED.groupDevices.toLocaleString("en")} devices`,
      `| A | ${ASSUMED.apps} apps`,
      `| C | ${ASSUMED.changesPerDay} changes`,
      `| R | ${ASSUMED.reportsPerChange} reports`,
      `| T | ${ASSUMED.reportsWithin / 60} minutes`,
      `| K | ${ASSUMED.copies} copies`,
      `| B | ${ASSUMED.reportBytes.toLocaleString("en")} bytes`,
      `example: ${ASSUMED.coreMoney} for a core and ${ASSUMED.gibMoney} for a GiB`,
    ])
      assert.ok(TEXT.includes(words), words);
    for (const name of Object.keys(ASSUMED)) assert.ok(TEXT.includes(`\`--${name}\``), name);
  });

  it("docs/sizing.md takes the times of one server and its polls from docs/performance.md", () => {
    const performance = readFileSync(new URL("performance.md", PAGE), "utf8");
    const [, last] = /^\| ms to the last device \| (\d+) /m.exec(performance) ?? [];
    const [, reporting] = /^\| ms to the last device, each reporting after it \| (\d+) /m.exec(performance) ?? [];
    const [, back] = /^\| ms until 2,000 reconnecting devices are back \| (\d+)/m.exec(performance) ?? [];
    assert.ok(
      TEXT.includes(`| ${last} ms until the last one has it; ${(Number(reporting) / 1000).toFixed(1)} s where each of them reports at once |`),
    );
    assert.ok(TEXT.includes(`| 2,000 devices that come back at once | ${back} ms |`));
    const [, fewest = "", most = ""] = /^\| polls of workers of the original \| ([\d,]+) to ([\d,]+) a second/m.exec(TEXT) ?? [];
    for (const polls of [fewest, most])
      assert.match(performance, new RegExp(`^\\| requests per second of processor time \\|.* ${polls.replace(",", "")} `, "m"));
  });
});

describe("sizes", () => {
  it("the sizes of more devices need no fewer shards, cores and memory, and one shard may be lost", () => {
    const worked = SIZES.map((devices) => sizeOf(devices, ASSUMED, FIGURES));
    for (const [index, size] of worked.entries()) {
      assert.ok((size.shards - 1) * ASSUMED.perShard >= (SIZES[index] ?? 0));
      for (const figure of ["shards", "cores", "gib", "money"] as const) assert.ok(size[figure] >= (worked[index - 1]?.[figure] ?? 1), figure);
    }
  });

  it("a size changes with each measured figure", () => {
    const before = JSON.stringify(sizeOf(10_000_000, ASSUMED, FIGURES));
    for (const [name, value] of Object.entries(FIGURES))
      assert.notEqual(JSON.stringify(sizeOf(10_000_000, ASSUMED, { ...FIGURES, [name]: value * 10 })), before, name);
  });

  it("the figures are refused where a page does not name one any more", () => {
    assert.throws(() => readFigures(() => "nothing"), /no page names/);
  });

  it("the fullest of 100 shards has at most twice its share of device_groups of a thousand devices, as the sizes assume", () => {
    const { shards } = sizeOf(1_000_000, ASSUMED, FIGURES);
    const members = Array.from({ length: shards }, (_, index) => ({ name: `nebula-manager-${index}`, address: "a:1", boot: "b" }));
    const groups = new Map<string, number>();
    for (let group = 0; group < 1_000_000 / ASSUMED.groupDevices; group++) {
      const [owner] = ownersOf(`group-${group}`, members, 1);
      groups.set(owner?.name ?? "", (groups.get(owner?.name ?? "") ?? 0) + 1);
    }
    const fullest = Math.max(...groups.values()) * ASSUMED.groupDevices;
    assert.ok(fullest > ASSUMED.perShard && fullest <= 2 * ASSUMED.perShard, `${fullest}`);
  });

  it("the sizes reserve as many processors for a manager as the chart requests", () => {
    const { manager } = parse(readFileSync(new URL("helm/nebula/values.yaml", import.meta.url), "utf8"));
    assert.equal(manager.cpu.request, `${1000 * MANAGER_CORES}m`);
  });
});
