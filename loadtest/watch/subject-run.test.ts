import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { unhandledDuring } from "../../common/testing/unhandled-during.ts";
import { Fleet } from "../client/fleet.ts";
import { splitProcessors } from "../processes/processors.ts";
import { openHttp2 } from "../subjects/http2.ts";
import type { Subject, SubjectOptions } from "../subjects/subject.ts";
import { reconnectDuringPushes, runSubjects } from "./subject-run.ts";

const figures = () => ({ rssBytes: 0, cpuMs: 0 });

describe("a subject's run", function () {
  this.timeout(30_000);
  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("a subject's run rejects where a push fails while devices reconnect, and leaves no other rejection behind", async () => {
    const { signal } = new AbortController();
    const unhandled = await unhandledDuring(async () => {
      let pushes = 0;
      const push = async () => {
        if (++pushes === 2) throw new Error("the server refused a push");
        return 0;
      };
      const fleet = { cpuMs: () => 0, reconnect: () => delay(1500, 1) };
      await assert.rejects(reconnectDuringPushes({ figures, push }, fleet, { reconnecting: 1, signal }), /refused a push/);
    });
    assert.deepEqual(unhandled, []);
  });

  it("a subject's run leaves no rejection behind where it ends between a push and its reports", async () => {
    const interrupted = new AbortController();
    const unhandled = await unhandledDuring(async () => {
      const processors = splitProcessors().fleet;
      const { signal } = interrupted;
      await using subject = await openHttp2({ payloadBytes: 100, processors, signal });
      await using fleet = new Fleet({ devices: 1, processors, signal });
      await fleet.connect(await subject.target());
      const { arrived } = await fleet.arm({ reports: { apps: ["bench"], revision: undefined } });
      interrupted.abort();
      await assert.rejects(arrived);
    });
    assert.deepEqual(unhandled, []);
  });

  it("a subject's run takes turns with the others, slice by slice, and shows the processor time that the host took meanwhile", async () => {
    const { signal } = new AbortController();
    const processors = splitProcessors().fleet;
    const pushed: string[] = [];
    const opens = ["a", "b"].map((name) => async (options: SubjectOptions): Promise<Subject> => {
      const subject = await openHttp2(options);
      const push = () => {
        pushed.push(name);
        return subject.push();
      };
      return { ...subject, push, [Symbol.asyncDispose]: () => subject[Symbol.asyncDispose]() };
    });
    const figures = await runSubjects(
      opens,
      { payloadBytes: 100, processors, signal },
      { devices: 3, pushes: 8, reconnecting: 1, settleMs: 50, fleetProcessors: processors, signal, say: () => {} },
    );
    assert.equal(pushed.slice(0, 16).join(""), "aabbaabbaabbaabb");
    assert.match(pushed.slice(16).join(""), /^a+b+a+b+a+b+$/, "rounds of reconnects");
    assert.equal(figures.length, 2);
    for (const { stolenShare, lastDeviceMs, reconnectedMs } of figures) {
      assert.ok(stolenShare >= 0 && stolenShare < 1 && Number.isFinite(lastDeviceMs) && reconnectedMs > 0, JSON.stringify(figures));
    }
  });
});
