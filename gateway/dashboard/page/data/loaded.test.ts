import { strict as assert } from "node:assert";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterSource, afterTrouble, isNotFound, LOADING, type Loaded, ready, troubleOf } from "./loaded.ts";

describe("data of the server as the page has them", () => {
  const old: Loaded<string> = ready("old", 1000);

  it("a source that has forgotten the data, and finds the server unreachable, leaves them shown with their age", () => {
    const trouble = { kind: "unreachable" } as const;
    assert.deepEqual(afterSource(old, LOADING), old);
    assert.deepEqual(afterSource(old, { kind: "failed", trouble }), { kind: "ready", value: "old", asOfMs: 1000, trouble });
    assert.deepEqual(afterSource<string>(LOADING, { kind: "failed", trouble }), { kind: "failed", trouble });
  });

  it("newer data of a source, and its refusal of the data, take the place of what is shown", () => {
    const refused = { kind: "failed", trouble: { kind: "refused", code: "not_found", message: "no app web" } } as const;
    assert.deepEqual(afterSource(old, ready("new", 2000)), ready("new", 2000));
    assert.deepEqual(afterSource(old, refused), refused);
    assert.deepEqual(afterSource(old, { kind: "failed", trouble: { kind: "login" } }), { kind: "failed", trouble: { kind: "login" } });
  });

  it("data that were shown stay only where the server gave no answer or has no room to answer", () => {
    const kept = (error: unknown) =>
      afterTrouble(
        old,
        troubleOf(error, () => {}),
      ).kind === "ready";
    const stay = [Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted];
    const go = [Code.Unauthenticated, Code.PermissionDenied, Code.NotFound, Code.InvalidArgument, Code.Internal];
    for (const code of stay) assert.equal(kept(new ConnectError("no", code)), true, Code[code]);
    for (const code of go) assert.equal(kept(new ConnectError("no", code)), false, Code[code]);
    assert.equal(kept(new TypeError("x is undefined")), false);
  });

  it("data are not found only where the server says that they do not exist", () => {
    const refused = (code: string): Loaded<string> => ({ kind: "failed", trouble: { kind: "refused", code, message: "no" } });
    assert.equal(isNotFound(refused("not_found")), true);
    const others: readonly Loaded<string>[] = [refused("permission_denied"), { kind: "failed", trouble: { kind: "unreachable" } }, LOADING, old];
    for (const state of others) assert.equal(isNotFound(state), false, JSON.stringify(state));
  });
});
