import { strict as assert } from "node:assert";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { eventually } from "../../../../common/testing/eventually.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import { openSession } from "./session.ts";

describe("the session of a tab", () => {
  let clock: ManualClock;
  let isAwake: boolean;
  let wake: () => void;
  let calls: number;
  let reloads: number;
  let user: string;
  let error: ConnectError | undefined;
  beforeEach(() => {
    [clock, isAwake, wake, calls, reloads, user, error] = [new ManualClock(), true, () => {}, 0, 0, "ann", undefined];
  });

  const open = () =>
    openSession({
      transport: createRouterTransport(({ service }) => {
        service(StatusService, {
          getStatus() {
            calls++;
            if (error !== undefined) throw error;
            return { user, version: "1" };
          },
        });
      }),
      attention: { isAwake: () => isAwake, whenAwake: () => new Promise((resolve) => (wake = resolve)) },
      clock,
      report: (error) => assert.fail(String(error)),
      reload: () => void reloads++,
    });

  it("an unreachable server is asked again every 3 s while somebody looks, and not while the tab is hidden", async () => {
    error = new ConnectError("no manager answers", Code.Unavailable);
    const session = open();
    await eventually(() => session.state.value.kind === "unknown" && session.state.value.trouble?.kind === "unreachable");
    await clock.advance(3000);
    await eventually(() => assert.equal(calls, 2));
    await eventually(() => assert.equal(clock.sleeping, 1));
    isAwake = false;
    await clock.advance(3000);
    await eventually(() => assert.equal(clock.sleeping, 0));
    await clock.advance(600_000);
    assert.equal(calls, 2);
    error = undefined;
    wake();
    await eventually(() => assert.deepEqual(session.state.value, { kind: "in", user: "ann", isAdmin: false, version: "1" }));
    assert.equal(calls, 3);
  });

  it("a tab loads again where the server takes it for another user than the one that it shows", async () => {
    const session = open();
    await eventually(() => assert.equal(session.state.value.kind, "in"));
    await session.answered({ user: "ann", isAdmin: false });
    assert.deepEqual([calls, reloads], [1, 0]);
    await session.answered({ user: "bob", isAdmin: false }); // an answer of before this login
    assert.deepEqual([calls, reloads], [2, 0]);
    user = "bob";
    await session.answered({ user: "bob", isAdmin: false });
    assert.equal(reloads, 1);
  });

  it("a tab follows its user as it becomes an admin and loses that again, without loading the page again", async () => {
    const session = open();
    await eventually(() => assert.equal(session.state.value.kind, "in"));
    for (const isAdmin of [true, false]) {
      await session.answered({ user: "ann", isAdmin });
      assert.deepEqual(session.state.value, { kind: "in", user: "ann", isAdmin, version: "1" });
    }
    assert.deepEqual([calls, reloads], [1, 0]);
  });
});
