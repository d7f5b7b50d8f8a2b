import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { ManualClock } from "../../common/clock/manual-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { deviceIdViolations } from "../../common/validation/names.ts";
import { openLastGood } from "../data/data-folder.ts";
import { decideDeviceId, newDeviceId } from "./device-id.ts";

describe("the device id", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-device-id-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function decide({ given = undefined as string | undefined, engineHostname = async () => "edge-gw" } = {}): Promise<string> {
    const lastGood = await openLastGood(folder, silentLog);
    return decideDeviceId({ given, lastGood, engineHostname, clock: new ManualClock(), log: silentLog, signal: new AbortController().signal });
  }

  it("the device id is made of the engine's host name once, and kept", async () => {
    const id = await decide();
    assert.match(id, /^edge-gw-[0-9a-f]{6}$/);
    assert.equal(await decide({ engineHostname: async () => "renamed" }), id);
  });

  it("the device id is the one given, which is not kept", async () => {
    assert.equal(await decide({ given: "till-12" }), "till-12");
    assert.match(await decide(), /^edge-gw-/);
    await assert.rejects(
      decide({ given: "no id" }),
      (error) => isNebulaError(error, "invalid_argument") && error.message.includes("NEBULA_DEVICE_ID"),
    );
  });

  it("the device id waits for the engine", async () => {
    const clock = new ManualClock();
    let up = false;
    const engineHostname = async () => {
      if (!up) throw new Error("not there");
      return "edge";
    };
    const lastGood = await openLastGood(folder, silentLog);
    const decided = decideDeviceId({ given: undefined, lastGood, engineHostname, clock, log: silentLog, signal: new AbortController().signal });
    await eventually(() => clock.sleeping === 1);
    up = true;
    await clock.advance(60_000);
    assert.match(await decided, /^edge-[0-9a-f]{6}$/);
  });

  it("the device id is valid for any name of the host", () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (hostname) => deviceIdViolations(newDeviceId(hostname, "0a1b2c"), "id").length === 0));
  });
});
