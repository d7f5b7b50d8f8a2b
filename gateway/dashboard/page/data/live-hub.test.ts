import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { ManualClock } from "../../../../common/clock/manual-clock.ts";
import { createLiveHub, type FromHub, type LiveHub, POLL_MS, type ToHub } from "./live-hub.ts";
import { HIDDEN_MS } from "./live-plan.ts";
import type { Loaded } from "./loaded.ts";

const AWAY = () => new ConnectError("no manager answers", Code.Unavailable);

/** A server: streams say what `say` is given, reads answer how many there were. */
class StandIn {
  readonly reads: string[] = [];
  readonly open = new Map<string, (value: unknown) => void>();
  pulses = 0;
  isAway = false;
  refusesStreams = false;

  pulse = async () => {
    this.pulses++;
    if (this.isAway) throw AWAY();
  };

  sourceOf = (key: string) => ({
    read: async () => {
      this.reads.push(key);
      if (this.isAway) throw AWAY();
      return `read ${this.reads.length}`;
    },
    open: (signal: AbortSignal) => this.#stream(key, signal),
  });

  async *#stream(key: string, signal: AbortSignal): AsyncGenerator<unknown, void> {
    if (this.isAway || this.refusesStreams) throw this.isAway ? AWAY() : new ConnectError("no room for one more stream", Code.ResourceExhausted);
    assert.ok(!this.open.has(key), "one thing has two streams");
    const values: unknown[] = [];
    let wake = () => {};
    this.open.set(key, (value) => {
      values.push(value);
      wake();
    });
    signal.addEventListener("abort", () => wake());
    try {
      while (!signal.aborted) {
        yield* values.splice(0);
        if (!signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      }
      throw signal.reason;
    } finally {
      this.open.delete(key);
    }
  }

  get streams(): string[] {
    return [...this.open.keys()].sort();
  }
}

class Tab {
  readonly say: (message: ToHub) => void;
  readonly states = new Map<string, Loaded<unknown>>();
  pulse: string | undefined;

  constructor(hub: LiveHub) {
    this.say = hub.join((message: FromHub) => {
      if (message.kind === "state") this.states.set(message.key, message.state);
      else this.pulse = message.pulse.trouble?.kind ?? "here";
    });
  }

  show(...keys: string[]): void {
    for (const key of keys) this.say({ kind: "show", key });
  }

  hide(...keys: string[]): void {
    for (const key of keys) this.say({ kind: "hide", key });
  }

  set isVisible(isVisible: boolean) {
    this.say({ kind: "visible", isVisible });
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
    hub = createLiveHub({ sourceOf: server.sourceOf, pulse: server.pulse, streams: 2, clock });
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

  it("while the server is away all that is shown has its age, and the first answer has it read again", async () => {
    const tab = new Tab(hub);
    tab.show("a", "b", "c");
    await clock.advance(0);
    for (const open of server.open.values()) open("before");
    await clock.advance(2 * POLL_MS);
    const seenAt = clock.now();
    server.isAway = true;
    await clock.advance(POLL_MS);
    assert.equal(tab.pulse, "away");
    assert.deepEqual(server.streams, []);
    for (const key of ["a", "b", "c"]) {
      const state = tab.states.get(key);
      assert.ok(state?.kind === "ready" && state.trouble?.kind === "away", key);
      assert.equal(state.asOfMs, seenAt, key);
    }
    server.isAway = false;
    await clock.advance(POLL_MS);
    assert.equal(tab.pulse, "here");
    assert.equal(server.streams.length, 2);
  });

  it("a login has everything tried at once", async () => {
    const tab = new Tab(hub);
    tab.show("a");
    await clock.advance(0);
    server.refusesStreams = true;
    tab.say({ kind: "again" });
    await clock.advance(0);
    assert.deepEqual(server.streams, []);
    server.refusesStreams = false;
    tab.say({ kind: "again" });
    await clock.advance(0);
    assert.deepEqual(server.streams, ["a"]);
  });

  it("a tab that is closed, or says nothing for long, is forgotten", async () => {
    const [closed, crashed] = [new Tab(hub), new Tab(hub)];
    closed.show("a");
    crashed.show("b");
    await clock.advance(0);
    closed.say({ kind: "gone" });
    await clock.advance(0);
    assert.deepEqual(server.streams, ["b"]);
    await clock.advance(200_000);
    assert.deepEqual(server.streams, []);
  });
});
