import { strict as assert } from "node:assert";
import { isUnsafe } from "../printable.ts";
import { createLog } from "./log.ts";

describe("a log", () => {
  it("a log is one line of JSON an entry, in which no text of others takes effect or is lost", () => {
    const hostile = "a\x1b[2Jb\x9bc\u202ed\u200be\u{e0041}f\ng";
    let written = "";
    const destination = {
      write(text: string) {
        written += text;
      },
    };
    createLog({ level: "info", part: "worker", destination }).info({ container: hostile, error: new Error(hostile) }, hostile);
    assert.equal(isUnsafe(written), false);
    assert.equal(written.split("\n").length, 2);
    const { msg, container } = JSON.parse(written);
    assert.deepEqual([msg, container], [hostile, hostile]);
  });

  it("a log in the format text is lines for people, in which nothing that others wrote takes effect, or begins a line", () => {
    const hostile = "a\x1b[2Jb\x9bc\u202ed\nfake line";
    let written = "";
    const destination = {
      write(text: string) {
        written += text;
      },
    };
    const log = createLog({ level: "info", format: "text", part: "gateway", destination });
    log.child({ component: "watch" }).warn({ managers: ["a:1"], peer: "10.0.0.1", name: "two words" }, "no manager answers yet");
    assert.match(
      written,
      /^\d\d:\d\d:\d\d\.\d{3} warn {3}gateway\/watch {2}no manager answers yet {2}managers=\["a:1"\] {2}peer=10\.0\.0\.1 {2}name="two words"\n$/,
    );
    written = "";
    log.error({ err: new Error(hostile), container: hostile }, hostile);
    assert.equal(isUnsafe(written), false);
    const [first = "", ...below] = written.trimEnd().split("\n");
    assert.match(first, /^\S+ error {2}gateway {2}a\\x1b\[2Jb\\x9bc\\u202ed$/);
    assert.ok(below.length > 3 && below.every((line) => line.startsWith("    ")), written);
    assert.match(written, /\n {4,}at .*log\.test\.ts/, "the stack");
  });

  it("a log names levels by words, in children as well", () => {
    const lines: string[] = [];
    const log = createLog({ level: "debug", part: "worker", destination: { write: (line) => void lines.push(line) } });
    log.debug("a");
    log.info("b");
    log.child({ component: "watch" }).warn("c");
    log.error("d");
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).level),
      ["debug", "info", "warn", "error"],
    );
  });
});
