import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** Runs before the program, and makes it believe in an older Node. */
const OLDER = `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})`;

describe("a Node that is too old", () => {
  for (const program of ["nebula", "nebulactl"]) {
    it(`a Node that is too old gets one line from ${program} that says so`, async () => {
      const entry = fileURLToPath(new URL(`${program}.js`, import.meta.url));
      const child = spawn(process.execPath, ["--import", OLDER, entry, "--version"], { stdio: ["ignore", "pipe", "pipe"] });
      const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
      assert.deepEqual([code, out], [1, ""]);
      assert.match(err, new RegExp(`^${program}: Node 26 or newer is needed, .*20\\.20\\.2.*\\n$`));
    });
  }
});
