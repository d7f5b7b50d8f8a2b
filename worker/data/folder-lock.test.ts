import { strict as assert } from "node:assert";
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { createLog, silentLog } from "../../common/log/log.ts";
import { DataFolder } from "./folder-lock.ts";

describe("a worker's data folder", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-data-folder-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function warningsOf(path: string): Promise<string> {
    const lines: string[] = [];
    const log = createLog({ level: "warn", part: "worker", destination: { write: (line) => lines.push(line) } });
    (await DataFolder.open(path, log))[Symbol.dispose]();
    return lines.join("");
  }

  it("a data folder is made for its owner alone, and locked until it is disposed", async () => {
    const path = join(folder, "new", "data");
    const first = await DataFolder.open(path, silentLog);
    assert.equal((await stat(path)).mode & 0o777, 0o700);
    assert.equal(first.failure, undefined);
    const refused = (error: unknown) => isNebulaError(error, "failed_precondition") && error.message.includes(path);
    await assert.rejects(DataFolder.open(path, silentLog), refused);
    await assert.rejects(DataFolder.open(path, silentLog), (error) => error instanceof Error && error.message.includes("NEBULA_WORKER_DATA"));
    first[Symbol.dispose]();
    using second = await DataFolder.open(path, silentLog);
    assert.equal(second.failure, undefined);
  });

  it("a data folder that cannot be written is not locked, says why, and is locked once it can be", async () => {
    const path = join(folder, "data");
    await writeFile(path, "a file where the folder should be");
    using data = await DataFolder.open(path, silentLog);
    assert.match(data.failure ?? "", /data/);
    await data.lockAgain();
    assert.notEqual(data.failure, undefined);
    await rm(path);
    using other = await DataFolder.open(path, silentLog);
    assert.equal(other.failure, undefined);
    await data.lockAgain();
    assert.match(data.failure ?? "", /in use by another Nebula process/);
    other[Symbol.dispose]();
    await data.lockAgain();
    assert.equal(data.failure, undefined);
  });

  for (const mode of [0o770, 0o702, 0o777]) {
    it(`a data folder is warned of where others may write to it (mode ${mode.toString(8)})`, async () => {
      await chmod(folder, mode);
      assert.match(await warningsOf(folder), /others may write to the data folder.*give it the mode 700/);
      assert.match(await warningsOf(folder), new RegExp(`"mode":"${mode.toString(8)}"`));
    });
  }

  for (const mode of [0o700, 0o755]) {
    it(`a data folder is not warned of with mode ${mode.toString(8)}`, async () => {
      await chmod(folder, mode);
      assert.equal(await warningsOf(folder), "");
    });
  }
});
