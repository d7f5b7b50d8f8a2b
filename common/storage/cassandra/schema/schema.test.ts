import { strict as assert } from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createTable, TABLES } from "./schema.ts";

const DRIVER = fileURLToPath(new URL("../", import.meta.url));
const PAGE = fileURLToPath(new URL("../../../../docs/design/stores.md", import.meta.url));

describe("the tables on Cassandra", () => {
  it("the tables are listed in docs/design/stores.md, each with its largest partition and the queries it serves", () => {
    const lines = readFileSync(PAGE, "utf8").split("\n");
    const listed = lines.slice(lines.findIndex((line) => line.startsWith("| table |")) + 2).filter((line) => line.startsWith("|"));
    assert.deepEqual(
      listed,
      TABLES.map(({ name, partition, largest, serves }) => `| \`${name}\` | ${partition} | ${largest} | ${serves} |`),
    );
    assert.ok(listed.length >= 20);
  });

  it("the tables have names of their own, a partition key, and a largest partition that is below 100 MB", () => {
    assert.equal(new Set(TABLES.map(({ name }) => name)).size, TABLES.length);
    for (const table of TABLES) {
      assert.match(createTable(table), /^CREATE TABLE IF NOT EXISTS \w+ \(.*PRIMARY KEY \(\([\w, ]+\).*\)\)/, table.name);
      for (const [, megabytes] of table.largest.matchAll(/(\d+) MB/g)) assert.ok(Number(megabytes) < 100, `${table.name}: ${table.largest}`);
    }
  });

  it("the tables are read and written without filters, secondary indexes and logged batches", () => {
    const sources = readdirSync(DRIVER, { encoding: "utf8", recursive: true }).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
    let statements = 0;
    for (const name of sources) {
      const text = readFileSync(DRIVER + name, "utf8");
      assert.doesNotMatch(text, /ALLOW FILTERING|CREATE (?:CUSTOM )?INDEX|MATERIALIZED VIEW|BEGIN BATCH|logged: true/i, name);
      assert.ok((text.match(/\.batch\(/g) ?? []).length <= (name === "connection/client.ts" ? 1 : 0), `${name} sends a batch by itself`);
      statements += text.match(/"(?:SELECT|INSERT|UPDATE|DELETE) /g)?.length ?? 0;
    }
    assert.ok(statements >= 20, `${statements} statements`);
    assert.match(readFileSync(`${DRIVER}connection/client.ts`, "utf8"), /logged: false/);
  });
});
