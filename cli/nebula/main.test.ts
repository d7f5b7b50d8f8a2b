import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "../../common/version.ts";
import type { NebulaIo } from "./command/command.ts";
import { COMMANDS } from "./commands.ts";
import { runNebula } from "./main.ts";

async function run(args: readonly string[], env: NebulaIo["env"] = {}) {
  const out: string[] = [];
  const errors: string[] = [];
  const io: NebulaIo = {
    env,
    readFile: () => "",
    write: (text) => out.push(text),
    print: (line) => out.push(line),
    complain: (line) => errors.push(line),
    terminal: false,
    openTerminal: async () => undefined,
  };
  return { code: await runNebula(COMMANDS, args, io), out: out.join("\n"), errors };
}

describe("nebula", () => {
  it("nebula lists its commands, and prints its version", async () => {
    const { code, out } = await run(["--help"]);
    assert.equal(code, 0);
    for (const { name } of COMMANDS) assert.match(out, new RegExp(`^  ${name} `, "m"));
    assert.equal((await run([])).code, 1);
    assert.deepEqual(await run(["--version"]), { code: 0, out: `nebula ${VERSION}`, errors: [] });
  });

  it("nebula explains a command with its own flags and its settings, for --help at any place", async () => {
    for (const { kind, name, ownFlags } of COMMANDS) {
      const { code, out } = await run([name, "--no-such-flag", "--help"]);
      assert.equal(code, 0);
      assert.ok(out.startsWith(`Usage: nebula ${name} `));
      for (const line of out.split("\n")) assert.ok(line.length <= 80, line);
      for (const flag of ownFlags) assert.ok(out.includes(`--${flag.name}`), flag.name);
      assert.equal(/--log-level, NEBULA_LOG_LEVEL \(info\)/.test(out), kind === "settings", name);
    }
  });

  it("nebula names the nearest command", async () => {
    assert.deepEqual(await run(["sever"]), { code: 1, out: "", errors: ['nebula: unknown command "sever"; did you mean nebula server?'] });
  });

  it("nebula reports everything that is wrong with the settings, a line each", async () => {
    const { code, errors } = await run(["server", "--cache-time", "soon", "--colour"], { NEBULA_REDIRECT: "maybe" });
    assert.equal(code, 1);
    assert.equal(errors.length, 3);
    for (const line of errors) assert.ok(line.startsWith("nebula: "), line);
  });

  it("nebula reports what is wrong with a command's own flags", async () => {
    assert.deepEqual((await run(["demo", "--device", "5", "--keep"])).errors, [
      "nebula: --device: is not a flag of nebula demo; see nebula demo --help",
    ]);
    assert.deepEqual((await run(["demo", "--devices", "many"])).errors, ['nebula: --devices: "many" is not a whole number; use 1 to 2000']);
  });

  it("nebula says in one line which folder or file cannot be used, by the name that was given", async () => {
    const folder = await mkdtemp(join(tmpdir(), "nebula-main-"));
    try {
      const cases: [string[], RegExp][] = [
        [
          ["backup", "--data", "/nope", "--to", join(folder, "to")],
          /^nebula: the data folder "\/nope" can't be backed up: it does not exist; --data must/,
        ],
        [["backup", "--data", folder, "--to", join(folder, "to")], /can't be backed up: it holds no nebula\.db; --data must/],
        [
          ["server", "--data", "/proc/nope", "--metrics-listen", "off"],
          /^nebula: --data: the folder \/proc\/nope can't be made: its parent takes no folders/,
        ],
        [
          ["server", "--tls-ca", "/nope", "--tls-cert", "/nope", "--data", folder, "--metrics-listen", "off"],
          /^nebula: --tls-key: is needed|NEBULA_TLS_KEY: is needed beside --tls-cert/,
        ],
        [["worker", "--tls-ca", "/nope", "--device-group", "pos"], /^nebula: --tls-ca \/nope can't be read: it does not exist$/],
        [["migrate", "--data", "/nope"], /^nebula: store \/nope\/nebula\.db not found: --data must/],
      ];
      for (const [args, message] of cases) {
        const { code, errors } = await run(args, { NEBULA_WORKER_DATA: folder, NEBULA_LOG_LEVEL: "error" });
        assert.equal(code, 1, `${args}`);
        assert.equal(errors.length, 1, errors.join("\n"));
        assert.match(errors.join(), message);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("nebula requires the target of a backup, and the store of a migration", async () => {
    assert.match((await run(["backup"])).errors.join(), /missing --to/);
    assert.match((await run(["migrate", "--data", "/nowhere/at/all"])).errors.join(), /store \/nowhere\/at\/all.* not found/);
  });
});
