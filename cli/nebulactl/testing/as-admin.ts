import { strict as assert } from "node:assert";
import { nebulactl, type Ran, type RunOptions } from "./test-cli.ts";
import { ADMIN, type TestServer } from "./test-server.ts";

type Args = string | readonly string[];

/** nebulactl as the admin of a test's server, which is there when it is run. */
export function asAdmin(server: () => Pick<TestServer, "http">) {
  const run = (args: Args, options: RunOptions = {}): Promise<Ran> =>
    nebulactl(args, { ...options, env: { NEBULA_SERVER: server().http, NEBULA_TOKEN: ADMIN.token, ...options.env } });
  return {
    run,
    /** Returns the output of a command that goes well and has nothing to say besides. */
    async printed(args: Args, options: RunOptions = {}): Promise<string> {
      const { code, out, err } = await run(args, options);
      assert.deepEqual({ code, err }, { code: 0, err: "" }, `${args}`);
      return out;
    },
    /** A command is refused, in one line (after the questions that it asked, where it did). */
    async refused(args: Args, message: RegExp, options: RunOptions = {}): Promise<void> {
      const { code, out, err } = await run(args, options);
      assert.deepEqual({ code, out }, { code: 1, out: "" }, `${args}`);
      assert.match(err, message);
      if (options.answers === undefined) assert.match(err, /^error: .+\n$/, "an error is one line"); // else the questions stand before it
    },
  };
}
