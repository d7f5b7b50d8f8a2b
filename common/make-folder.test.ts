import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { chmod, cp, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeFolder } from "./make-folder.ts";

describe("a folder that a setting names", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "nebula-folder-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it("a folder that a setting names is made with its parents, for its owner alone, and an existing one is taken", async () => {
    const folder = join(root, "a", "b", "c");
    await makeFolder("NEBULA_DATA", folder);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    await makeFolder("NEBULA_DATA", folder);
  });

  it("a folder is refused in one line with its name where it is a file, is below one, or cannot be made", async () => {
    await writeFile(join(root, "file"), "");
    await assert.rejects(
      makeFolder("NEBULA_DATA", join(root, "file")),
      /^NebulaError: NEBULA_DATA: the folder .*file can't be made: a file of that name exists; /,
    );
    await assert.rejects(makeFolder("NEBULA_DATA", join(root, "file", "x")), /can't be made: a part of its path is a file, not a folder; /);
    await assert.rejects(
      makeFolder("NEBULA_DATA", "/proc/nebula/data"),
      /the folder \/proc\/nebula\/data can't be made: its parent takes no folders; /,
    );
  });

  it("a folder is refused with the permission and the user where this user may not write to it", async () => {
    // as root everything may be written to: then another user tries
    const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    await cp(new URL("./", import.meta.url), join(root, "common"), {
      recursive: true,
      filter: (path) => !/\.test\.ts$|common\/.*\/.*\//.test(path.slice(path.indexOf("/common/") + 1)),
    });
    const data = join(root, "data");
    await makeFolder("NEBULA_DATA", data);
    await chmod(root, 0o755);
    await chmod(data, 0o500);
    const run = (folder: string) =>
      promisify(execFile)(
        process.execPath,
        [
          "-e",
          `import(${JSON.stringify(join(root, "common/make-folder.ts"))}).then((m) => m.makeFolder("NEBULA_DATA", ${JSON.stringify(folder)})).catch((e) => console.log(e.message))`,
        ],
        nobody,
      );
    if (process.getuid?.() !== 0) await chmod(root, 0o555);
    assert.match(
      (await run(data)).stdout,
      /^NEBULA_DATA: the folder .*data can't be written to: user \S+ .*uid \d+\)? has no permission; name another, or change its owner\n$/,
    );
    assert.match((await run(join(root, "new"))).stdout, /new can't be made: user \S+ .*uid \d+\)? has no permission; /);
  });
});
