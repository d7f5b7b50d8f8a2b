import { strict as assert } from "node:assert";
import { isUnsafe } from "../printable.ts";
import { createLog } from "./log.ts";

describe("a log", () => {
  it("is one line of JSON an entry, in which nothing that others wrote takes effect and nothing is lost", () => {
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

  it("names levels by words, in children as well", () => {
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
