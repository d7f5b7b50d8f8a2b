import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { settingFlags } from "./resolve-settings.ts";
import { COMMANDS } from "./setting.ts";
import { settingsHelp, settingsReference } from "./settings-docs.ts";
import { ALL_SETTINGS } from "./settings-table.ts";

describe("the reference of settings", () => {
  it("the reference of settings equals the table: npm run docs:settings writes it", () => {
    assert.equal(readFileSync(new URL("../../docs/settings.md", import.meta.url), "utf8"), settingsReference());
  });

  it("the reference of settings names every setting", () => {
    for (const { variable } of ALL_SETTINGS) assert.ok(settingsReference().includes(`\`${variable}\``), variable);
  });
});

describe("the help of a command", () => {
  it("the help of a command names every flag that it takes, and no other", () => {
    for (const command of COMMANDS) {
      const flags = [...settingsHelp(command).matchAll(/^ {2}--([a-z-]+), NEBULA_/gm)].map(([, flag]) => flag);
      assert.deepEqual(
        flags,
        settingFlags(command).map(({ name }) => name),
        command,
      );
    }
  });
});
