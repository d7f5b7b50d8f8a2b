import { strict as assert } from "node:assert";
import { PassThrough } from "node:stream";
import { eventually } from "../../../common/testing/eventually.ts";
import { openTerminal } from "./terminal.ts";

function streams() {
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = "";
  output.on("data", (chunk: Buffer) => {
    shown += chunk.toString("utf8");
  });
  return { input, terminal: openTerminal(input, output), shown: () => shown };
}

const never = new AbortController().signal;

describe("a terminal", () => {
  it("a terminal is asked one question after the other", async () => {
    const { input, terminal, shown } = streams();
    const first = terminal.ask("Name: ", never);
    input.write("web\n");
    assert.equal(await first, "web");
    const second = terminal.ask("Image: ", never);
    input.write("shop:1\r");
    assert.equal(await second, "shop:1");
    assert.match(shown(), /Name: [\s\S]*web[\s\S]*Image: /);
  });

  it("a terminal shows nothing of a secret", async () => {
    const { input, terminal, shown } = streams();
    const asked = terminal.askSecret("Password: ", never);
    for (const key of "s3cr3t") input.write(key);
    input.write("\r");
    assert.equal(await asked, "s3cr3t");
    assert.equal(shown(), "Password: \n");
  });

  it("a terminal's echo is off before it asks for a secret: a user who types at once is not shown either", async () => {
    const { input, terminal, shown } = streams();
    const rawAt: string[] = [];
    Object.assign(input, { setRawMode: (raw: boolean) => rawAt.push(`${raw} after ${JSON.stringify(shown())}`) });
    const asked = terminal.askSecret("Password: ", never);
    input.write("s\r");
    await asked;
    assert.deepEqual(rawAt, ['true after ""', 'false after "Password: "']);
  });

  it("a terminal's question ends at Ctrl-C, at the end of the input, and at the signal", async () => {
    const interrupted = streams();
    const first = interrupted.terminal.ask("Name: ", never);
    interrupted.input.write("\x03");
    await assert.rejects(first, /interrupted/);

    const ended = streams();
    const second = ended.terminal.askSecret("Password: ", never);
    ended.input.end();
    await assert.rejects(second, /the input ended before an answer/);

    const aborted = streams();
    const controller = new AbortController();
    const third = aborted.terminal.ask("Name: ", controller.signal);
    await eventually(() => aborted.shown().includes("Name: "));
    controller.abort(new Error("stopped"));
    await assert.rejects(third, /stopped/);
  });
});
