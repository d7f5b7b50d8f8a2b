import { strict as assert } from "node:assert";
import fc from "fast-check";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { bareSpec } from "../../../common/testing/bare-spec.ts";
import { configOf } from "../../../common/testing/config-builder.ts";
import { Rig } from "../../testing/rig.ts";
import { World } from "../../testing/world.ts";
import { EMPTY_MEMORY, type KeptMemory, type Memory } from "../memory/memory.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const signal = new AbortController().signal;

function references(rig: Rig): string[] {
  return rig.runtime.images
    .list()
    .flatMap((image) => image.references)
    .map((reference) => reference.replace("docker.io/library/", ""))
    .sort();
}

/** The units that a memory knows. */
function unitsOf({ pulled, imageHistory, goneHours }: KeptMemory): string[] {
  return [...new Set([...pulled.keys(), ...imageHistory.keys(), ...goneHours.keys()])].sort();
}

function keptUnits(rig: Rig): string[] {
  return unitsOf(rig.kept ?? EMPTY_MEMORY);
}

const web = { web: { dockerImage: "app:1" } };
const other = { other: { dockerImage: "other:1" } };

describe("a unit that left the config", () => {
  it("a unit that left the config costs no pull if it returns within a day, and has its images removed and is forgotten after that", async () => {
    await using rig = new Rig({ images: ["preloaded:1"] });
    await rig.start({ apps: { ...web, ...other, old: { dockerImage: "preloaded:1" } } });
    assert.deepEqual(keptUnits(rig), ["app old", "app other", "app web"]);
    const without = { groupRevision: 2n, apps: other };
    await rig.apply(without);
    assert.deepEqual(rig.shown, ["other-1 running"]);
    await rig.pass(DAY - HOUR, 10 * MINUTE);
    rig.calls.length = 0;
    await rig.apply({ groupRevision: 3n, apps: { ...web, ...other } });
    assert.deepEqual(rig.shown, ["other-1 running", "web-1 running"]);
    assert.deepEqual(rig.methods("pull"), []);
    await rig.apply(without);
    await rig.pass(DAY - MINUTE, 10 * MINUTE - 1);
    assert.deepEqual(references(rig), ["app:1", "other:1", "preloaded:1"], "its day begins again with its last container");
    assert.deepEqual(keptUnits(rig), ["app other", "app web"], "old had its day");
    await rig.pass(2 * MINUTE);
    assert.deepEqual(references(rig), ["other:1", "preloaded:1"], "only what was pulled for it goes");
    assert.deepEqual(keptUnits(rig), ["app other"]);
  });

  it("a unit that left the config has its day from the end of its last container on", async () => {
    const behaviour = () => ({ stopMs: 30 * MINUTE });
    await using rig = new Rig({ images: [], behaviour });
    await rig.start({ apps: { web: { ...web.web, stopGraceSeconds: 3600 } } });
    await rig.apply({ groupRevision: 2n, apps: { web: undefined } });
    const end = rig.clock.monotonic();
    for (let turn = 0; turn < 100 && rig.containers.length > 0; turn++) await rig.pass(5 * 1000);
    assert.deepEqual(rig.shown, []);
    assert.ok(rig.clock.monotonic() > end);
    await rig.pass(DAY - MINUTE, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:1"]);
    await rig.pass(2 * MINUTE);
    assert.deepEqual(references(rig), []);
  });

  it("a unit that left the config may be a cron_job as well as an app, tombstone or not", async () => {
    await using rig = new Rig({ images: [] });
    await rig.start({ cronJobs: { job: { dockerImage: "cron:1", schedule: "* * * * *" }, twin: { dockerImage: "cron:2", schedule: "* * * * *" } } });
    await rig.pass(2 * MINUTE, MINUTE);
    assert.deepEqual(references(rig), ["cron:1", "cron:2"]);
    await rig.apply({ groupRevision: 2n, cronJobs: { job: undefined } });
    await rig.pass(DAY - HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["cron:1", "cron:2"]);
    await rig.pass(HOUR + MINUTE, 10 * MINUTE);
    assert.deepEqual(references(rig), []);
    assert.deepEqual(keptUnits(rig), []);
  });

  it("a unit is forgotten without its image where a container uses that, the config names it, another unit had it pulled, or a tag was added by hand", async () => {
    await using rig = new Rig({ images: [], identity: { keepImages: 1 } });
    const apps = {
      ...web,
      used: { dockerImage: "used:1" },
      named: { dockerImage: "named:1" },
      tagged: { dockerImage: "tagged:1" },
      shared: { dockerImage: "shared:1" },
    };
    await rig.start({ apps: { ...apps, ...other, stays: { dockerImage: "shared:1" } } });
    await rig.runtime.create({ name: "theirs", spec: bareSpec("used:1"), labels: {} }, signal);
    rig.runtime.images.tag("docker.io/library/tagged:1", "docker.io/library/mine:1");
    await rig.apply({
      groupRevision: 2n,
      apps: { ...other, off: { dockerImage: "named:1", running: false }, stays: { dockerImage: "next:1", revision: 2n } },
    });
    await rig.pass(DAY + HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["mine:1", "named:1", "next:1", "other:1", "shared:1", "tagged:1", "used:1"]);
    assert.deepEqual(keptUnits(rig), ["app off", "app other", "app stays"], "who uses an image has it removed in the end");
    await rig.apply({ groupRevision: 3n, apps: { ...other, stays: { dockerImage: "next:1", revision: 2n } } });
    await rig.pass(DAY + HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["mine:1", "next:1", "other:1", "shared:1", "tagged:1", "used:1"]);
  });

  it("a unit that left the config keeps its image from the updates of an app that had it pulled, too", async () => {
    await using rig = new Rig({ images: [], identity: { keepImages: 0 } });
    await rig.start({ apps: { ...web, twin: { dockerImage: "app:1" } } });
    await rig.apply({ groupRevision: 2n, apps: { twin: { dockerImage: "app:2", revision: 2n } } });
    await rig.pass(DAY - HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:1", "app:2"]);
    await rig.pass(HOUR + MINUTE, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:2"]);
  });

  it("a unit that left the config is remembered until workers ran for a day, for any jumps of the wall clock", async () => {
    await using rig = new Rig({ images: [] });
    await rig.start({ apps: { ...web, ...other } });
    const without = { groupRevision: 2n, apps: other };
    await rig.apply(without);
    await rig.pass(11 * HOUR, 10 * MINUTE);
    rig.clock.setWall(Date.UTC(2036, 0, 1)); // a clock without a battery
    await rig.start(without);
    await rig.pass(2 * HOUR, 10 * MINUTE);
    await rig.kill();
    await rig.clock.advance(3 * DAY); // switched off
    rig.clock.setWall(Date.UTC(1970, 0, 1));
    await rig.start(without);
    await rig.pass(11 * HOUR - MINUTE, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:1", "other:1"], "11 h, 2 h and 11 h");
    await rig.pass(2 * HOUR + 2 * MINUTE, 10 * MINUTE);
    assert.deepEqual(references(rig), ["other:1"], "each start may lose the last hour");
  });

  it("a unit that left the config costs one write to the disk an hour, and none once it is forgotten", async () => {
    await using rig = new Rig({ images: [] });
    await rig.start({ apps: { ...web, ...other } });
    await rig.apply({ groupRevision: 2n, apps: {} });
    let writes = 0;
    let before = rig.kept;
    const count = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += MINUTE) {
        await rig.pass(MINUTE);
        if (rig.kept !== before) writes++;
        before = rig.kept;
      }
    };
    await count(4 * HOUR);
    assert.ok(writes >= 3 && writes <= 5, `${writes} writes in 4 hours`);
    await rig.pass(DAY, 10 * MINUTE);
    before = rig.kept;
    writes = 0;
    await count(2 * HOUR);
    assert.equal(writes, 0);
  });

  it("a unit is forgotten although its image cannot be removed, after three tries, and keeps no other from that", async () => {
    await using rig = new Rig({ images: [] });
    await rig.start({ apps: { ...web, ...other } });
    const stuck = rig.runtime.images.find("docker.io/library/app:1")?.id;
    rig.runtime.before = (call) => {
      rig.calls.push(call);
      if (call.method === "removeImage" && call.target === stuck) throw new NebulaError("failed_precondition", "image has dependent child images");
    };
    await rig.apply({ groupRevision: 2n, apps: {} });
    await rig.pass(DAY + HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:1"]);
    assert.equal(rig.methods("removeImage").filter(({ target }) => target === stuck).length, 3);
    assert.deepEqual(keptUnits(rig), []);
  });

  it("a unit that left the config waits for its removals while a config is being written to the disk", async () => {
    let isSaving = true;
    await using rig = new Rig({ images: [], isSaving: () => isSaving });
    await rig.start({ apps: web });
    await rig.apply({ groupRevision: 2n, apps: {} });
    await rig.pass(DAY + HOUR, 10 * MINUTE);
    assert.deepEqual(references(rig), ["app:1"]);
    isSaving = false;
    await rig.wake();
    assert.deepEqual(references(rig), []);
  });
});

describe("the memory of units that left the config", () => {
  it("the memory of units that left the config holds at most 1000 of them", async () => {
    const world = new World({ images: ["shop:1"] });
    await world.apply(configOf({ apps: { web: {} } }));
    await world.converge();
    const entry = {
      image: "docker.io/library/app:1",
      change: "x",
      restartCount: 0n,
      brought: { kind: "known" as const, id: "sha256:1" },
      used: true,
    };
    const many = Array.from({ length: 1500 }, (_, i) => [`app gone-${i}`, entry] as const);
    world.memory = { ...world.memory, pulled: new Map([...many, ...world.memory.pulled]) };
    await world.converge();
    assert.equal(world.memory.goneHours.size, 1000);
    assert.equal(world.memory.pulled.size, 1001);
    assert.ok(world.memory.pulled.has("app web"));
  });

  it("the memory of units is bounded by the config and the last day, and every image that the config names stays", async function () {
    this.timeout(60_000);
    const names = ["a", "b", "c", "d"];
    const config = fc.record({
      apps: fc.dictionary(fc.constantFrom(...names), fc.constantFrom("one:1", "two:1", "three:1"), { maxKeys: 3 }),
      cronJobs: fc.dictionary(fc.constantFrom(...names), fc.constantFrom("one:1", "four:1"), { maxKeys: 2 }),
      hours: fc.constantFrom(1, 5, 13, 30),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(config, { minLength: 1, maxLength: 6 }), async (configs) => {
        const world = new World({ images: ["preloaded:1"] });
        let revision = 0n;
        let goneSince = new Map<string, number>();
        for (const { apps, cronJobs, hours } of configs) {
          revision++;
          const asked = {
            apps: Object.fromEntries(Object.entries(apps).map(([name, dockerImage]) => [name, { dockerImage, revision }])),
            cronJobs: Object.fromEntries(Object.entries(cronJobs).map(([name, dockerImage]) => [name, { dockerImage, revision }])),
          };
          await world.apply(configOf({ ...asked, groupRevision: revision }));
          await world.converge({ horizonMs: MINUTE });
          const named = new Set([...Object.keys(apps).map((name) => `app ${name}`), ...Object.keys(cronJobs).map((name) => `cron_job ${name}`)]);
          const now = world.clock.monotonic();
          goneSince = new Map([...goneUnits(world.memory, named)].map((unit) => [unit, goneSince.get(unit) ?? now]));
          for (let hour = 0; hour < hours; hour++) {
            await world.clock.advance(HOUR);
            await world.converge({ horizonMs: MINUTE });
          }
          const end = world.clock.monotonic();
          for (const [unit, since] of goneSince) {
            const isKnown = unitsOf(world.memory).includes(unit);
            if (end - since > DAY + 2 * HOUR) assert.ok(!isKnown, `${unit} is still known`);
            if (end - since < DAY - 2 * HOUR) assert.ok(isKnown, `${unit} is forgotten too early`);
          }
          for (const container of world.containers) assert.ok(world.runtime.images.list().some(({ id }) => id === container.imageId));
          const present = world.runtime.images.list().flatMap(({ references }) => references);
          for (const image of Object.values(apps)) assert.ok(present.includes(`docker.io/library/${image}`), `${image} was removed`);
          assert.ok(present.includes("docker.io/library/preloaded:1"));
        }
        await world.apply(configOf({ groupRevision: revision + 1n }));
        await world.converge({ horizonMs: MINUTE });
        for (let hour = 0; hour < 26; hour++) {
          await world.clock.advance(HOUR);
          await world.converge({ horizonMs: MINUTE });
        }
        assert.deepEqual(unitsOf(world.memory), []);
        assert.equal(world.memory.failures.size + world.memory.specSince.size + world.memory.cron.size + world.memory.adopted.size, 0);
        assert.deepEqual(
          world.runtime.images.list().flatMap(({ references }) => references),
          ["docker.io/library/preloaded:1"],
        );
      }),
      { numRuns: 40 },
    );
  });
});

function goneUnits(memory: Memory, named: ReadonlySet<string>): string[] {
  return unitsOf(memory).filter((unit) => !named.has(unit));
}
