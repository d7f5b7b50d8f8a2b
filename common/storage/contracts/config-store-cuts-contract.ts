import { strict as assert } from "node:assert";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readHistory } from "../../testing/read-all.ts";
import type { ConfigStore, EntityWrite, WriteOutcome } from "../config-store.ts";
import { appWrite, freshName, groupWrite } from "./config-store-samples.ts";

/** The store of a process that ends after a number of statements: those are carried out, every later one fails. */
export type CutStore = Readonly<{
  store: ConfigStore;
  /** Whether a statement failed. */
  struck(): boolean;
}>;

/** `answered`: whether the last statement that is carried out is answered. */
export type Cut = (statements: number, answered: boolean) => Promise<CutStore>;

/** More statements than one write takes. */
const MOST_STATEMENTS = 40;

/** The promises for a write that a crash cut after any of its statements, and that is repeated: for drivers whose writes are several statements. */
export function describeConfigStoreCuts(driver: string, open: (context: Mocha.Context) => Promise<{ store: ConfigStore; cut: Cut }>): void {
  describe(`ConfigStore: ${driver}: a write that is cut anywhere`, function () {
    this.timeout(60_000);
    let opened: { store: ConfigStore; cut: Cut };
    before(async function () {
      opened = await open(this);
    });

    /** Cuts the write after each of its statements in turn, under a fresh name each time, until one is not cut; answers how many were. */
    async function cutEverywhere(
      prepare: (store: ConfigStore, name: string) => Promise<unknown>,
      write: (name: string) => EntityWrite,
      check: (store: ConfigStore, name: string) => Promise<void>,
    ): Promise<number> {
      const { store, cut } = opened;
      let cuts = 0;
      for (const answered of [true, false]) {
        for (let statements = answered ? 0 : 1, struck = true; struck; statements++) {
          assert.ok(statements < MOST_STATEMENTS, "the write ends");
          const name = freshName("cut");
          await prepare(store, name);
          const ended = await cut(statements, answered);
          const first = await attempt(ended.store, write(name));
          struck = ended.struck();
          if (struck) cuts++;
          else assert.equal(first, "written");
          await repeat(store, write(name), first);
          await check(store, name);
        }
      }
      return cuts;
    }

    const listed = async (store: ConfigStore, name: string) =>
      (await store.list("app", { limit: 1, after: name.slice(0, -1) })).items.map((entity) => entity.name);

    it("a cut write of a new name is stored with its history, and listed, once it was repeated", async () => {
      const count = await cutEverywhere(
        async () => {},
        (name) => appWrite(name, 0n),
        async (store, name) => {
          assert.deepEqual(await listed(store, name), [name]);
          assert.deepEqual(
            (await readHistory(store, { kind: "app", name })).map(({ revision }) => revision),
            [1n],
          );
        },
      );
      assert.ok(count >= 4, `${count} cuts`);
    });

    it("a cut write of a delete leaves a tombstone that is not listed", async () => {
      const count = await cutEverywhere(
        (store, name) => store.write(appWrite(name, 0n)),
        (name) => appWrite(name, 1n, { deleted: true, action: "delete" }),
        async (store, name) => {
          assert.ok(!(await listed(store, name)).includes(name));
          assert.deepEqual(await store.namesInOtherCase({ kind: "app", name: name.toUpperCase() }), []);
          assert.equal((await store.get({ kind: "app", name }))?.deleted, true);
        },
      );
      assert.ok(count >= 4, `${count} cuts`);
    });

    it("a cut write of a group is found by its members as they are then, and by no other", async () => {
      const count = await cutEverywhere(
        (store, name) => store.write(groupWrite(name, 0n, [`${name}-stays`, `${name}-left`], [`${name}-left`])),
        (name) => groupWrite(name, 1n, [`${name}-stays`, `${name}-came`], [`${name}-came`]),
        async (store, name) => {
          const groups = (member: string) =>
            Promise.all([store.groupsNaming("app", `${name}-${member}`), store.groupsNaming("cron_job", `${name}-${member}`)]);
          assert.deepEqual(await groups("stays"), [[name], []]);
          assert.deepEqual(await groups("came"), [[name], [name]]);
          assert.deepEqual(await groups("left"), [[], []]);
        },
      );
      assert.ok(count >= 4, `${count} cuts`);
    });
  });
}

async function attempt(store: ConfigStore, write: EntityWrite): Promise<WriteOutcome["kind"] | "failed"> {
  try {
    return (await store.write(write)).kind;
  } catch (error) {
    assert.ok(isNebulaError(error, "unavailable"), String(error));
    return "failed";
  }
}

/** Repeats a write as its caller does. A write that was answered as written is there; one that failed before it was sent is not. */
async function repeat(store: ConfigStore, write: EntityWrite, first: WriteOutcome["kind"] | "failed"): Promise<void> {
  const again = await store.write(write);
  if (first === "written") assert.deepEqual(again, { kind: "conflict", revision: write.revision });
  else if (first === "failed") assert.equal(again.kind, "written");
  else assert.ok(again.kind === "written" || (again.kind === "conflict" && again.revision === write.revision), again.kind);
}
