import assert from "node:assert/strict";
import { inspectedContainer } from "./inspect.ts";

describe("what inspect shows of a container that is unwell", () => {
  const inspected = (state: object) =>
    inspectedContainer({
      Id: "c0ffee",
      Name: "/web-1",
      State: state,
      Config: { Env: ["TOKEN=s3cret-value", "MODE=a"], Labels: {} },
      HostConfig: { Memory: 64 * 2 ** 20 },
    });

  it("an inspect of an unwell container shows that it ran out of memory, and its limit, until it runs again", () => {
    assert.deepEqual(inspected({ Status: "restarting", OOMKilled: true }).outOfMemory, { limitBytes: 64 * 2 ** 20 });
    assert.equal(inspected({ Status: "running", OOMKilled: true }).outOfMemory, undefined, "one process of it was killed, it goes on");
    assert.equal(inspected({ Status: "exited", OOMKilled: false }).outOfMemory, undefined);
  });

  it("an inspect of an unwell container shows the end of the failing health check's output, in one line and without values of env", () => {
    const health = (status: string, output: string, code = 1) => ({
      Status: "running",
      Health: {
        Status: status,
        Log: [
          { ExitCode: 0, Output: "fine" },
          { ExitCode: code, Output: output },
        ],
      },
    });
    assert.equal(inspected(health("unhealthy", "curl -H s3cret-value\nMODE=a: refused\n")).healthOutput, "curl -H ... MODE=...: refused");
    assert.equal(inspected(health("unhealthy", `${"x".repeat(5000)}end`)).healthOutput?.length, 200);
    assert.equal(inspected(health("unhealthy", " \n")).healthOutput, undefined);
    assert.equal(inspected(health("healthy", "refused")).healthOutput, undefined);
  });
});
