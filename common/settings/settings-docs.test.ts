import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { settingFlags } from "./resolve-settings.ts";
import { COMMANDS } from "./setting.ts";
import { settingsHelp, settingsReference } from "./settings-docs.ts";
import { ALL_SETTINGS } from "./settings-table.ts";

describe("the reference of settings", () => {
  it("is as the table says: npm run docs:settings writes it anew", () => {
    assert.equal(readFileSync(new URL("../../docs/settings.md", import.meta.url), "utf8"), settingsReference());
  });

  it("names every setting", () => {
    for (const { variable } of ALL_SETTINGS) assert.ok(settingsReference().includes(`\`${variable}\``), variable);
  });
});

describe("the help of a command", () => {
  it("names every flag that it takes, and no other", () => {
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
