import { strict as assert } from "node:assert";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Resource } from "../../../common/resources/resource.ts";
import { appKind, cronJobKind, deviceGroupKind } from "../entities/kind.ts";
import { inOrder } from "./bound-resource.ts";
import { inBatches } from "./in-batches.ts";
import { missingMembers } from "./missing-members.ts";
import { readResourceFiles } from "./read-resource-files.ts";

const app = (name: string) => appKind.toResource(appKind.make(name, {}));
const cronJob = (name: string) => cronJobKind.toResource(cronJobKind.make(name, {}));
const group = (name: string, apps: string[], cronJobs: string[] = []) => deviceGroupKind.toResource(deviceGroupKind.make(name, { apps, cronJobs }));

describe("an apply", () => {
  it("writes apps before cron_jobs before device_groups, and keeps the order of the files within each", () => {
    const [g, c, a2, a1] = [group("g", []), cronJob("c"), app("a2"), app("a1")];
    assert.deepEqual(inOrder([g, c, a2, a1]), [a2, a1, c, g]);
  });

  it("refuses members that are in no file, in no stored group and not on the server, and asks for each once", async () => {
    const asked: string[] = [];
    const exists = async (members: readonly { kind: string; name: string }[]) => {
      asked.push(...members.map(({ kind, name }) => `${kind} ${name}`));
      return members.map(({ name }) => name.startsWith("there"));
    };
    const planned: { resource: Resource; stored: Resource | undefined }[] = [
      { resource: app("web"), stored: undefined },
      { resource: group("pos", ["web", "held", "there", "gone"], ["web"]), stored: group("pos", ["held"]) },
      { resource: group("till", ["gone", "held"]), stored: undefined },
    ];
    const missing = await missingMembers(planned, exists);
    assert.deepEqual(
      missing.map(({ field, description }) => `${field}: ${description}`),
      [
        'device_group pos: apps[3]: there is no app "gone", neither in the files nor on the server',
        'device_group pos: cron_jobs[0]: there is no cron_job "web", neither in the files nor on the server',
        'device_group till: apps[0]: there is no app "gone", neither in the files nor on the server',
        'device_group till: apps[1]: there is no app "held", neither in the files nor on the server',
      ],
    );
    assert.deepEqual(asked, ["app there", "app gone", "cron_job web", "app held"]);
  });
});

describe("resource files", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const read = (...paths: string[]) => readResourceFiles(paths, async () => "kind: app\n");

  it("are files, folders by name, and standard input", async () => {
    await writeFile(join(folder, "b.yml"), "b");
    await writeFile(join(folder, "a.yaml"), "a");
    await writeFile(join(folder, "notes.txt"), "x");
    await mkdir(join(folder, "inner"));
    const expected = [
      { name: join(folder, "a.yaml"), text: "a" },
      { name: join(folder, "b.yml"), text: "b" },
    ];
    assert.deepEqual(await read(folder), expected);
    assert.deepEqual(await read("-", join(folder, "b.yml")), [{ name: "standard input", text: "kind: app\n" }, expected[1]]);
  });

  it("may be the JSON list that get prints", async () => {
    await writeFile(join(folder, "all.json"), '[\n{"kind":"app","name":"a"},\n{"kind":"app","name":"b"}\n]\n');
    assert.deepEqual(
      (await read(folder)).map(({ text }) => text),
      ['{"kind":"app","name":"a"}\n---\n{"kind":"app","name":"b"}\n'],
    );
  });

  it("say which path can't be read", async () => {
    await assert.rejects(read(join(folder, "none.yaml")), /-f .*none\.yaml can't be read: it does not exist/);
    await assert.rejects(read(folder), /is a folder without \.yaml, \.yml, \.json files/);
  });
});

describe("batches", () => {
  it("keep the order and the bound", async () => {
    let under = 0;
    let most = 0;
    const results = await inBatches([5, 4, 3, 2, 1], 2, async (item) => {
      most = Math.max(most, ++under);
      await new Promise((resolve) => setImmediate(resolve));
      under--;
      return item * 2;
    });
    assert.deepEqual([results, most], [[10, 8, 6, 4, 2], 2]);
  });
});
