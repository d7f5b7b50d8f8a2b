import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { Registry } from "prom-client";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { createLog } from "../../common/log/log.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type AuditEntry, AuditEntrySchema } from "../../gen/nebula/v1/audit_pb.ts";
import { AuditQueue, MOST_WAITING } from "./audit-queue.ts";

const entry = (name: string): AuditEntry =>
  create(AuditEntrySchema, { who: "ann", from: "192.0.2.1", kind: "app", name, outcome: "OK", revisionAfter: 3n, requestId: "r" });

/** A queue on a store that answers when, and as, the test says. */
function rig() {
  const registry = new Registry();
  const logged: string[] = [];
  const log = createLog({ level: "info", part: "t", destination: { write: (line) => void logged.push(line) } });
  const appends: { names: string[]; settle: PromiseWithResolvers<void> }[] = [];
  const store = {
    appendAudit(entries: readonly AuditEntry[]) {
      const settle = Promise.withResolvers<void>();
      appends.push({ names: entries.map(({ name }) => name), settle });
      return settle.promise;
    },
  };
  return { queue: new AuditQueue({ store, log, registry }), appends, logged, registry };
}

describe("the queue of audit entries", () => {
  it("the queue resolves when an entry is stored; entries that come meanwhile are stored together, in order", async () => {
    const { queue, appends } = rig();
    const done: string[] = [];
    const append = (name: string) => queue.append(entry(name)).then(() => void done.push(name));
    const first = append("a");
    await eventually(() => appends.length === 1);
    const rest = [append("b"), append("c")];
    assert.deepEqual(done, []);
    appends[0]?.settle.resolve();
    await first;
    assert.deepEqual(done, ["a"]);
    await eventually(() => appends.length === 2);
    assert.deepEqual(appends[1]?.names, ["b", "c"]);
    appends[1]?.settle.resolve();
    await Promise.all(rest);
    await queue.drained();
    assert.deepEqual(done, ["a", "b", "c"]);
  });

  it("the queue logs entries whole, and counts them, where the store refuses them, and rejects no caller", async () => {
    const { queue, appends, logged, registry } = rig();
    const appended = queue.append(entry("web"));
    await eventually(() => appends.length === 1);
    appends[0]?.settle.reject(new NebulaError("unavailable", "the disk is full"));
    await appended;
    const line = JSON.parse(logged[0] ?? "{}");
    assert.equal(line.reason, "the disk is full");
    assert.deepEqual(line.audit, { who: "ann", from: "192.0.2.1", kind: "app", name: "web", outcome: "OK", revisionAfter: "3", requestId: "r" });
    assert.match(await registry.metrics(), /nebula_audit_entries_total\{result="lost"\} 1/);
    const next = queue.append(entry("db"));
    await eventually(() => appends.length === 2);
    appends[1]?.settle.resolve();
    await next;
    assert.match(await registry.metrics(), /nebula_audit_entries_total\{result="stored"\} 1/);
  });

  it("the queue holds a bounded number while the store does not answer: the entries beyond are logged", async () => {
    const { queue, appends, logged } = rig();
    void queue.append(entry("first"));
    await eventually(() => appends.length === 1);
    for (let i = 0; i < MOST_WAITING; i++) void queue.append(entry(`waits-${i}`));
    await queue.append(entry("beyond"));
    assert.equal(logged.length, 1);
    assert.equal(JSON.parse(logged[0] ?? "{}").audit.name, "beyond");
    appends[0]?.settle.resolve();
    for (let done = 1; done < 1 + MOST_WAITING / 250; done++) {
      await eventually(() => appends.length === done + 1);
      appends[done]?.settle.resolve();
    }
    await queue.drained();
    assert.equal(appends.flatMap(({ names }) => names).length, 1 + MOST_WAITING);
  });
});
