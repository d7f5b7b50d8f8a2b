import { strict as assert } from "node:assert";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { KnownVerdicts, type PollCredential, type VerdictOnPoll } from "./known-verdicts.ts";

const ALLOWED = { kind: "allowed", subject: "user/ann" } as const;
const DENIED = { kind: "denied", reason: "no", subject: "user/bob" } as const;

function poll(change: Partial<PollCredential> = {}): PollCredential {
  return { authorization: "Basic x", deviceGroup: "shops", address: "10.0.0.1", requestId: "r", ...change };
}

/** A manager that answers when the test says so. */
function rig(limits: { mostKept?: number; mostAsked?: number; mostAskedByOne?: number } = {}) {
  const clock = new ManualClock();
  const asked: { poll: PollCredential; answer: (verdict: VerdictOnPoll) => void; fail: (error: Error) => void }[] = [];
  const ask = (credential: PollCredential) =>
    new Promise<VerdictOnPoll>((answer, fail) => {
      asked.push({ poll: credential, answer, fail });
    });
  const verdicts = new KnownVerdicts({ ask, clock, ...limits });
  /** Polls, and has the manager answer where it is asked. */
  async function polled(verdict: VerdictOnPoll, change: Partial<PollCredential> = {}): Promise<VerdictOnPoll> {
    const before = asked.length;
    const answer = verdicts.verdict(poll(change));
    if (asked.length > before) asked.at(-1)?.answer(verdict);
    return await answer;
  }
  return {
    clock,
    asked,
    verdicts,
    polled,
    known: (change: Partial<PollCredential> = {}) => verdicts.known(poll(change).authorization, poll(change).deviceGroup),
  };
}

describe("verdicts on polls", () => {
  it("V1: a positive verdict is kept for 5 s, a negative one for 1 s, from when it was asked for", async () => {
    const { clock, asked, polled, known } = rig();
    await polled(ALLOWED);
    await polled(DENIED, { deviceGroup: "others" });
    await clock.advance(999);
    assert.deepEqual(known({ deviceGroup: "others" }), DENIED);
    await clock.advance(1);
    assert.equal(known({ deviceGroup: "others" }), undefined);
    await clock.advance(3999);
    assert.deepEqual(await polled(DENIED), ALLOWED);
    assert.equal(asked.length, 2);
    await clock.advance(1);
    assert.deepEqual(await polled(DENIED), DENIED);
    assert.equal(asked.length, 3);
  });

  it("V1: the time that a manager took counts", async () => {
    const { clock, asked, verdicts, known } = rig();
    const answer = verdicts.verdict(poll());
    await clock.advance(3000);
    asked[0]?.answer(ALLOWED);
    await answer;
    await clock.advance(2000);
    assert.equal(known(), undefined);
  });

  it("V2: verdicts are of one credential and one device_group", async () => {
    const { polled, known } = rig();
    await polled(ALLOWED);
    assert.equal(known({ authorization: "Basic y" }), undefined);
    assert.equal(known({ deviceGroup: "others" }), undefined);
    assert.equal(known({ authorization: "" }), undefined);
    assert.deepEqual(known(), ALLOWED);
  });

  it("V3: any number of waiting polls ask one question", async () => {
    const { asked, verdicts } = rig();
    const answers = Array.from({ length: 500 }, () => verdicts.verdict(poll()));
    assert.equal(asked.length, 1);
    asked[0]?.answer(ALLOWED);
    assert.deepEqual(new Set((await Promise.all(answers)).map(({ kind }) => kind)), new Set(["allowed"]));
    assert.equal(asked.length, 1);
  });

  it("V3: a question that holds one address up holds no other up", async () => {
    const { asked, verdicts } = rig();
    const guilty = verdicts.verdict(poll({ address: "10.0.0.1" }));
    const other = verdicts.verdict(poll({ address: "10.0.0.2" }));
    asked[0]?.fail(new NebulaError("resource_exhausted", "too many failed logins"));
    await assert.rejects(guilty, (error) => isNebulaError(error, "resource_exhausted"));
    await Promise.resolve();
    assert.equal(asked[1]?.poll.address, "10.0.0.2");
    asked[1]?.answer(ALLOWED);
    assert.deepEqual(await other, ALLOWED);
  });

  it("V1: a question that failed is asked again", async () => {
    const { asked, verdicts, polled } = rig();
    const failed = verdicts.verdict(poll());
    asked[0]?.fail(new NebulaError("unavailable", "no manager"));
    await assert.rejects(failed, (error) => isNebulaError(error, "unavailable"));
    assert.deepEqual(await polled(ALLOWED), ALLOWED);
  });

  it("V4: a change of access empties all verdicts", async () => {
    const { verdicts, polled, known } = rig();
    await polled(ALLOWED);
    verdicts.accessChanged("user_group/staff");
    assert.equal(known(), undefined);
    assert.deepEqual(await polled(DENIED), DENIED);
  });

  it("V4: a change of one user or device evicts the verdicts on it alone, one of a session none but those on callers without a name", async () => {
    const { verdicts, polled, known } = rig();
    const nameless = { kind: "unauthenticated", reason: "no", subject: "" } as const;
    await polled(ALLOWED);
    await polled(DENIED, { deviceGroup: "others" });
    await polled(nameless, { deviceGroup: "third" });
    verdicts.accessChanged("session/5b1f8f0c6f2b9a44");
    assert.deepEqual([known(), known({ deviceGroup: "others" }), known({ deviceGroup: "third" })], [ALLOWED, DENIED, undefined]);
    await polled(nameless, { deviceGroup: "third" });
    verdicts.accessChanged("device/till-7");
    assert.deepEqual([known(), known({ deviceGroup: "others" }), known({ deviceGroup: "third" })], [ALLOWED, DENIED, undefined]);
    verdicts.accessChanged("user/ann");
    assert.deepEqual([known(), known({ deviceGroup: "others" })], [undefined, DENIED]);
    verdicts.accessChanged(undefined);
    assert.equal(known({ deviceGroup: "others" }), undefined, "a gap of the feed");
  });

  it("V4: a verdict in question while its caller changes is not kept, one on another caller is", async () => {
    const { asked, verdicts, known } = rig();
    const own = verdicts.verdict(poll());
    const other = verdicts.verdict(poll({ deviceGroup: "others" }));
    verdicts.accessChanged("user/ann");
    asked[0]?.answer(ALLOWED);
    asked[1]?.answer(DENIED);
    await Promise.all([own, other]);
    assert.deepEqual([known(), known({ deviceGroup: "others" })], [undefined, DENIED]);
  });

  it("V4: changes of very many callers are bounded: what was forgotten counts as a change of all", async () => {
    const { verdicts, polled, known } = rig();
    await polled(ALLOWED);
    for (let index = 0; index < 1000; index++) verdicts.accessChanged(`device/d${index}`);
    assert.deepEqual(known(), ALLOWED);
    verdicts.accessChanged("device/one-more");
    assert.equal(known(), undefined);
  });

  it("V4: a verdict of before a change is answered to each poll that waits, and kept for no other", async () => {
    const { asked, verdicts, known } = rig();
    const before = verdicts.verdict(poll());
    verdicts.accessChanged("user_group/staff");
    const after = verdicts.verdict(poll());
    assert.equal(asked.length, 2);
    asked[0]?.answer(ALLOWED);
    asked[1]?.answer(DENIED);
    assert.deepEqual(await before, ALLOWED);
    assert.deepEqual(await after, DENIED);
    assert.deepEqual(known(), DENIED);
  });

  it("V4: a manager that has not received a change yet is believed for an instant: within a second the change counts", async () => {
    const { clock, verdicts, polled, known } = rig();
    verdicts.accessChanged("user_group/staff");
    await clock.advance(899);
    await polled(ALLOWED);
    assert.deepEqual(known(), ALLOWED);
    await clock.advance(100);
    assert.equal(known(), undefined);
    await polled(ALLOWED);
    await clock.advance(4999);
    assert.deepEqual(known(), ALLOWED);
  });

  it("V5: verdicts are bounded, and so are the questions", async () => {
    const { asked, verdicts, polled, known } = rig({ mostKept: 2, mostAsked: 2 });
    for (const deviceGroup of ["a", "b", "c"]) await polled(ALLOWED, { deviceGroup });
    assert.deepEqual(
      ["a", "b", "c"].map((deviceGroup) => known({ deviceGroup })?.kind),
      [undefined, "allowed", "allowed"],
    );
    const waiting = ["d", "e"].map((deviceGroup) => verdicts.verdict(poll({ deviceGroup })));
    await assert.rejects(verdicts.verdict(poll({ deviceGroup: "f" })), (error) => isNebulaError(error, "unavailable"));
    for (const { answer } of asked) answer(ALLOWED);
    await Promise.all(waiting);
    assert.deepEqual(await polled(ALLOWED, { deviceGroup: "f" }), ALLOWED);
  });

  it("V5: a flood from one address does not delay the questions of others", async () => {
    const { asked, verdicts } = rig({ mostAskedByOne: 3 });
    const flood = (n: number) => verdicts.verdict(poll({ authorization: `Basic wrong-${n}` }));
    const waiting = [1, 2, 3].map(flood);
    await assert.rejects(flood(4), (error) => isNebulaError(error, "resource_exhausted"));
    const other = verdicts.verdict(poll({ address: "10.0.0.2" }));
    for (const { answer } of asked) answer(ALLOWED);
    assert.deepEqual(await other, ALLOWED);
    await Promise.all(waiting);
    void flood(5);
    assert.equal(asked.length, 5);
  });
});
