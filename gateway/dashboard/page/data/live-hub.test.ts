import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { createLiveHub, type FromHub, type LiveHub, POLL_MS, type ToHub } from "./live-hub.ts";
import { HIDDEN_MS } from "./live-plan.ts";
import type { Loaded } from "./loaded.ts";

const UNREACHABLE = () => new ConnectError("no manager answers", Code.Unavailable);

/** A server: streams send what is given to their function in `open`, reads answer how many there were. */
class StandIn {
  readonly reads: string[] = [];
  readonly open = new Map<string, (value: unknown) => void>();
  pulses = 0;
  user = "ann";
  /** The error that refuses a pulse. */
  refusal: ConnectError | undefined;
  isUnreachable = false;
  refusesStreams = false;

  pulse = async () => {
    this.pulses++;
    if (this.isUnreachable) throw UNREACHABLE();
    if (this.refusal !== undefined) throw this.refusal;
    return { user: this.user, isAdmin: false };
  };

  sourceOf = (key: string) => ({
    read: async () => {
      this.reads.push(key);
      if (this.isUnreachable) throw UNREACHABLE();
      return `read ${this.reads.length}`;
    },
    open: (signal: AbortSignal) => this.#stream(key, signal),
  });

  async *#stream(key: string, signal: AbortSignal): AsyncGenerator<unknown, void> {
    if (this.isUnreachable) throw UNREACHABLE();
    if (this.refusesStreams) throw new ConnectError("no room for one more stream", Code.ResourceExhausted);
    assert.ok(!this.open.has(key), "one thing has two streams");
    const values: unknown[] = [];
    let wake = () => {};
    const push = (value: unknown) => {
      values.push(value);
      wake();
    };
    const close = () => {
      if (this.open.get(key) === push) this.open.delete(key);
    };
    this.open.set(key, push);
    signal.addEventListener("abort", () => {
      close();
      wake();
    });
    try {
      while (!signal.aborted) {
        yield* values.splice(0);
        if (!signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      }
      throw signal.reason;
    } finally {
      close();
    }
  }

  get streams(): string[] {
    return [...this.open.keys()].sort();
  }
}

class Tab {
  readonly send: (message: ToHub) => void;
  readonly states = new Map<string, Loaded<unknown>>();
  pulse: string | undefined;
  user: string | undefined;

  constructor(hub: LiveHub) {
    this.send = hub.join((message: FromHub) => {
      if (message.kind === "state") this.states.set(message.key, message.state);
      else [this.pulse, this.user] = [message.pulse.trouble?.kind ?? "answers", message.pulse.caller?.user];
    });
  }

  show(...keys: string[]): void {
    for (const key of keys) this.send({ kind: "show", key });
  }

  hide(...keys: string[]): void {
    for (const key of keys) this.send({ kind: "hide", key });
  }

  set isVisible(isVisible: boolean) {
    this.send({ kind: "visible", isVisible });
  }

  value(key: string): unknown {
    const state = this.states.get(key);
    return state?.kind === "ready" ? state.value : state?.kind;
  }
}

describe("the hub of live data", () => {
  let clock: ManualClock;
  let server: StandIn;
  let hub: LiveHub;
  beforeEach(() => {
    clock = new ManualClock();
    server = new StandIn();
    hub = createLiveHub({ sourceOf: server.sourceOf, pulse: server.pulse, streams: 2, clock, report: (error) => assert.fail(String(error)) });
  });
  afterEach(() => hub[Symbol.dispose]());

  it("two streams serve all tabs, of what was looked at last; the rest is read every 5 s", async () => {
    const [one, other] = [new Tab(hub), new Tab(hub)];
    one.show("a", "b");
    other.show("c", "b");
    await clock.advance(0);
    assert.deepEqual(server.streams, ["b", "c"]);
    assert.deepEqual(server.reads, ["a"]);
    await clock.advance(3 * POLL_MS);
    assert.deepEqual(server.reads, ["a", "a", "a", "a"]);
    server.open.get("b")?.("news");
    await clock.advance(0);
    assert.deepEqual([one.value("b"), other.value("b")], ["news", "news"]);
  });

  it("a tab that joins later gets the newest state at once", async () => {
    const one = new Tab(hub);
    one.show("a");
    await clock.advance(0);
    server.open.get("a")?.("news");
    await clock.advance(0);
    const later = new Tab(hub);
    later.show("a");
    assert.equal(later.value("a"), "news");
    assert.deepEqual(server.streams, ["a"]);
  });

  it("what no tab shows any more costs nothing", async () => {
    const tab = new Tab(hub);
    tab.show("a", "b", "c");
    await clock.advance(0);
    tab.hide("a", "b", "c");
    await clock.advance(0);
    const reads = server.reads.length;
    await clock.advance(10 * POLL_MS);
    assert.deepEqual([server.streams, server.reads.length], [[], reads]);
  });

  it("a tab hidden for a minute asks for nothing, and has all of it again when it is seen", async () => {
    const tab = new Tab(hub);
    tab.show("a", "b", "c");
    await clock.advance(0);
    tab.isVisible = false;
    await clock.advance(HIDDEN_MS - 1);
    assert.equal(server.streams.length, 2, "a look elsewhere keeps the streams");
    await clock.advance(1);
    assert.deepEqual(server.streams, []);
    const [reads, pulses] = [server.reads.length, server.pulses];
    await clock.advance(20 * POLL_MS);
    assert.deepEqual([server.reads.length, server.pulses], [reads, pulses]);
    tab.isVisible = true;
    await clock.advance(0);
    assert.equal(server.streams.length, 2);
    assert.equal(server.reads.length, reads + 1);
  });

  it("a stream that is refused is polled meanwhile, and tried again later and later", async () => {
    server.refusesStreams = true;
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    assert.equal(tab.value("a"), "read 1");
    server.refusesStreams = false;
    await clock.advance(2000);
    assert.deepEqual(server.streams, ["a"]);
  });

  it("while the server is unreachable all that is shown has its age, and the first answer has it read again", async () => {
    const tab = new Tab(hub);
    tab.show("a", "b", "c");
    await clock.advance(0);
    for (const open of server.open.values()) open("before");
    await clock.advance(2 * POLL_MS);
    const seenAt = clock.now();
    server.isUnreachable = true;
    await clock.advance(POLL_MS);
    assert.equal(tab.pulse, "unreachable");
    assert.deepEqual(server.streams, []);
    for (const key of ["a", "b", "c"]) {
      const state = tab.states.get(key);
      assert.ok(state?.kind === "ready" && state.trouble?.kind === "unreachable", key);
      assert.equal(state.asOfMs, seenAt, key);
    }
    server.isUnreachable = false;
    await clock.advance(POLL_MS);
    assert.equal(tab.pulse, "answers");
    assert.equal(server.streams.length, 2);
  });

  it("data of before the server was unreachable keep their age while the stream that was opened again has no message yet", async () => {
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    server.open.get("a")?.("before");
    await clock.advance(2 * POLL_MS);
    const seenAt = clock.now();
    server.isUnreachable = true;
    await clock.advance(POLL_MS);
    server.isUnreachable = false;
    await clock.advance(3 * POLL_MS);
    assert.deepEqual(server.streams, ["a"]);
    const ageOf = (other: Tab) => {
      const state = other.states.get("a");
      return state?.kind === "ready" ? [state.value, state.asOfMs] : [];
    };
    const later = new Tab(hub);
    later.show("a");
    assert.deepEqual([ageOf(tab), ageOf(later)], Array(2).fill(["before", seenAt]));
    server.open.get("a")?.("after");
    await clock.advance(0);
    assert.deepEqual(ageOf(tab), ["after", clock.now()]);
  });

  it("a login has everything tried at once", async () => {
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    server.refusesStreams = true;
    tab.send({ kind: "again" });
    await clock.advance(0);
    assert.deepEqual(server.streams, []);
    server.refusesStreams = false;
    tab.send({ kind: "again" });
    await clock.advance(0);
    assert.deepEqual(server.streams, ["a"]);
  });

  it("a tab that is closed, or sends nothing for long, is forgotten", async () => {
    const [closed, crashed] = [new Tab(hub), new Tab(hub)];
    closed.show("a");
    crashed.show("b");
    await clock.advance(0);
    closed.send({ kind: "gone" });
    await clock.advance(0);
    assert.deepEqual(server.streams, ["b"]);
    await clock.advance(200_000);
    assert.deepEqual(server.streams, []);
  });

  it("a tab that was closed, and is shown again, follows what it shows then, and nothing of before", async () => {
    const tab = new Tab(hub);
    tab.show("a", "b");
    await clock.advance(0);
    tab.send({ kind: "gone" });
    tab.isVisible = true;
    tab.show("c");
    await clock.advance(0);
    assert.deepEqual(server.streams, ["c"]);
  });

  it("data of one user are not sent to the next: a login from another tab has all of them read again", async () => {
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    server.open.get("a")?.("of ann");
    await clock.advance(0);
    assert.deepEqual([tab.value("a"), tab.user], ["of ann", "ann"]);
    server.user = "bob";
    await clock.advance(POLL_MS);
    assert.equal(tab.user, "bob");
    const ofBob = new Tab(hub);
    ofBob.show("a");
    await clock.advance(0);
    assert.equal(ofBob.value("a"), "loading");
    server.open.get("a")?.("of bob");
    await clock.advance(0);
    assert.equal(ofBob.value("a"), "of bob");
  });

  it("a tab of another user gets nothing that was read for the user before, also before the next pulse", async () => {
    const ofAnn = new Tab(hub);
    ofAnn.send({ kind: "user", user: "ann" });
    ofAnn.show("a");
    await clock.advance(0);
    server.open.get("a")?.("of ann");
    await clock.advance(0);
    const alsoOfAnn = new Tab(hub);
    alsoOfAnn.send({ kind: "user", user: "ann" });
    alsoOfAnn.show("a");
    assert.equal(alsoOfAnn.value("a"), "of ann");
    server.user = "bob";
    const ofBob = new Tab(hub);
    ofBob.send({ kind: "user", user: "bob" });
    ofBob.show("a");
    assert.equal(ofBob.value("a"), "loading");
  });

  it("a pulse that is refused is an answer: what is shown stays, and so do its streams", async () => {
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    server.open.get("a")?.("news");
    server.refusal = new ConnectError("no room for one more call", Code.ResourceExhausted);
    await clock.advance(2 * POLL_MS);
    assert.deepEqual([tab.pulse, tab.value("a"), server.streams], ["answers", "news", ["a"]]);
  });
});
