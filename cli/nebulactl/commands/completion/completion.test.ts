import { strict as assert } from "node:assert";
import { execFile, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { requireCommand } from "../../../../common/testing/require-command.ts";
import { loadAll } from "../../command/load-commands.ts";
import { allFlags } from "../../command/split-command.ts";
import { commands } from "../../commands.ts";
import { asAdmin } from "../../testing/as-admin.ts";
import { nebulactl } from "../../testing/test-cli.ts";
import { startTestServer, type TestServer } from "../../testing/test-server.ts";
import { describeTable, type Place } from "./describe-table.ts";

const TYPED_IN_SHELL = fileURLToPath(new URL("../../testing/typed-in-shell.py", import.meta.url));

/** Stands for nebulactl where a shell finds it: knows two names of each kind, and prints the words that it is run with. */
const STAND_IN = `#!/bin/sh
if [ "$1" = __names ]; then
  printf '%s-1\\n%s-2\\n' "$2" "$2"
else
  printf 'RAN:'
  printf '<%s>' "$@"
  printf ':ENDED\\n'
fi
`;

/** The typed text, keys and all, and the words that nebulactl is run with. */
const TYPED: readonly (readonly [keys: string, words: readonly string[]])[] = [
  ["nebulactl cron-j\tupd\tx --ima\tshop:1 --ru\t", ["cron-jobs", "update", "x", "--image", "shop:1", "--running"]],
  ["nebulactl device_g\tli\t", ["device_groups", "list"]],
  ["nebulactl apps info ap\t2", ["apps", "info", "app-2"]],
  ["nebulactl app rm --app ap\t1", ["app", "rm", "--app", "app-1"]],
  ["nebulactl --profile pro\t1 devices ls -d dev\t1", ["--profile", "profile-1", "devices", "ls", "-d", "device_group-1"]],
  ["nebulactl get cron-j\tre\t1", ["get", "cron-jobs", "resource-1"]],
  ["nebulactl apps list --output=y\t", ["apps", "list", "--output=yaml"]],
  ["nebulactl user-groups update ops --app\tweb:rw,a\t2", ["user-groups", "update", "ops", "--apps", "web:rw,app-2"]],
  ["nebulactl apply -f a-resource-f\t", ["apply", "-f", "a-resource-file.yaml"]],
];

describe("the completion of a shell", function () {
  this.timeout(120_000);
  let folder: string;
  let places: readonly Place[];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebulactl-completion-"));
    await writeFile(join(folder, "nebulactl"), STAND_IN);
    await chmod(join(folder, "nebulactl"), 0o755);
    await writeFile(join(folder, "a-resource-file.yaml"), "");
    for (const shell of ["bash", "zsh", "fish"]) {
      const { code, out, err } = await nebulactl(`completion ${shell}`);
      assert.deepEqual([code, err], [0, ""]);
      await writeFile(join(folder, shell), out);
    }
    places = describeTable(await loadAll(commands));
    assert.ok(places.length > 50, `${places.length} places`);
  });
  after(() => rm(folder, { recursive: true }));

  const environment = () => ({ ...process.env, HOME: folder, PATH: `${folder}${delimiter}${process.env.PATH}` });

  /** The words that are to be offered at a place: its nouns or verbs, or else the values of its first argument; and its flags. */
  function expected({ path, next, flags, arguments: taken }: Place): Record<string, readonly string[]> {
    const line = ["nebulactl", ...path].join(" ");
    const [first] = taken;
    const values =
      first === undefined || "nothing" in first || "files" in first ? [] : "names" in first ? [1, 2].map((n) => `${first.names}-${n}`) : first.words;
    return { [`${line} `]: next.length > 0 ? next.map(({ word }) => word) : values, [`${line} -`]: flags.map(({ word }) => word) };
  }

  const sorted = (offered: Record<string, readonly string[]>) =>
    Object.fromEntries(Object.entries(offered).map(([line, words]) => [line, [...words].sort()]));
  const firstWords = (text: string) => text.split("\n").flatMap((line) => (line === "" ? [] : [line.split(/[\t |]/)[0] ?? ""]));

  for (const shell of ["bash", "zsh"] as const) {
    it(`the completion of ${shell} offers every noun, verb, flag and choice of the table, and nothing else`, async function () {
      requireCommand(this, shell, `Debian: ${shell}`);
      const lines = places.flatMap((place) => Object.entries(expected(place)));
      // the function that both scripts share, as their last parts call it
      const script = `compdef() { :; }; source ${join(folder, shell)}\n${lines
        .map(([line]) => {
          const words = line.split(" ").slice(1);
          return `printf '%s\\n' '> ${line}'; _nebulactl_offer '${words.at(-1)}' ${words.slice(0, -1).join(" ")}`;
        })
        .join("\n")}`;
      await writeFile(join(folder, "offers"), script);
      const { status, stdout, stderr } = spawnSync(shell, [join(folder, "offers")], { encoding: "utf8", env: environment() });
      assert.deepEqual([status, stderr], [0, ""]);
      const offered = Object.fromEntries(
        stdout
          .split(/^> /m)
          .slice(1)
          .map((part) => [part.slice(0, part.indexOf("\n")), firstWords(part.slice(part.indexOf("\n") + 1))]),
      );
      assert.deepEqual(sorted(offered), sorted(Object.fromEntries(lines)));
    });

    it(`the completion of ${shell} turns keys on a terminal into the words of a command`, async function () {
      requireCommand(this, shell, `Debian: ${shell}`);
      requireCommand(this, "python3", "Debian: python3");
      const [program, setup] =
        shell === "bash"
          ? [["bash", "--norc", "--noprofile", "-i"], []]
          : [
              ["zsh", "-f", "-i"],
              [`autoload -Uz compinit`, `compinit -u -d ${join(folder, "dump")}`, "setopt no_beep", "unsetopt prompt_sp"],
            ];
      const job = { shell: program, setup: [...setup, `source ${join(folder, shell)}`, `cd ${folder}`], typed: TYPED.map(([keys]) => `${keys}\n`) };
      const { stdout } = await promisify(execFile)("python3", [TYPED_IN_SHELL, JSON.stringify(job)], { env: environment() });
      const shown: string[] = JSON.parse(stdout);
      assert.deepEqual(
        shown.map((text) => /RAN:(.*):ENDED/.exec(text)?.[1]),
        TYPED.map(([, words]) => words.map((word) => `<${word}>`).join("")),
      );
    });
  }

  it("the completion of fish offers every noun, verb, flag and choice of the table, and nothing else", async function () {
    requireCommand(this, "fish", "Debian: fish");
    const lines = places.flatMap((place) => Object.entries(expected(place)));
    const more: Record<string, readonly string[]> = {
      "nebulactl --profile prod devices ls -d device_g": ["device_group-1", "device_group-2"],
      "nebulactl apps list --output=y": ["--output=yaml"],
      "nebulactl user-groups update ops --apps web:rw,a": ["web:rw,app-1", "web:rw,app-2"],
      "nebulactl apply -f a-resource-f": ["a-resource-file.yaml"],
    };
    const all = [...lines, ...Object.entries(more)];
    const script = `cd ${folder}; source ${join(folder, "fish")}\n${all.map(([line]) => `printf '%s\\n' '> ${line}'; complete -C '${line}'`).join("\n")}`;
    await writeFile(join(folder, "offers"), script);
    const { status, stdout, stderr } = spawnSync("fish", ["--no-config", join(folder, "offers")], { encoding: "utf8", env: environment() });
    assert.deepEqual([status, stderr], [0, ""]);
    const offered = Object.fromEntries(
      stdout
        .split(/^> /m)
        .slice(1)
        .map((part) => [part.slice(0, part.indexOf("\n")), firstWords(part.slice(part.indexOf("\n") + 1))]),
    );
    assert.deepEqual(sorted(offered), sorted(Object.fromEntries(all)));
  });

  it("the completion of every flag for a file offers files, and of every one for an entity its names", async () => {
    const kinds = {
      APP: "app",
      CRON_JOB: "cron_job",
      DEVICE: "device",
      DEVICE_GROUP: "device_group",
      GROUP: "device_group",
      USER: "user",
      USER_GROUP: "user_group",
    };
    const { entries } = await loadAll(commands);
    let checked = 0;
    for (const entry of entries) {
      for (const command of entry.kind === "noun" ? entry.verbs : [entry]) {
        if (command.kind !== "command") continue;
        for (const flag of allFlags(command)) {
          if (flag.kind !== "text") continue;
          const kind = Object.entries(kinds).find(([placeholder]) => placeholder === flag.placeholder)?.[1];
          const wanted: string | undefined = command.name === "why" && kind === "app" ? "target" : kind; // it takes cron_jobs, too
          if (wanted !== undefined) assert.deepEqual(flag.offers, { names: wanted }, `${entry.name} ${command.name} --${flag.name}`);
          if (flag.placeholder === "FILE") assert.deepEqual(flag.offers, { files: true }, `${entry.name} ${command.name} --${flag.name}`);
          if (flag.offers !== undefined) checked++;
        }
      }
    }
    assert.ok(checked > 50, `${checked} flags`);
  });
});

describe("the names that a shell completes", () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
    for (const line of ["apps create web -i shop:1", "apps create api -i shop:1", "device-groups create pos --apps web", "users create ann"])
      assert.equal((await run(line)).code, 0, line);
    for (const [name, schedule] of [
      ["web", "0 3 * * *"],
      ["clean", "0 4 * * *"],
    ] as const)
      assert.equal((await run(["cron-jobs", "create", name, "-i", "shop:1", "--schedule", schedule])).code, 0, name);
  });
  after(() => server[Symbol.asyncDispose]());
  const { run, printed } = asAdmin(() => server);

  it("the names that a shell completes are those of the server, by kind", async () => {
    assert.equal(await printed("__names app apps info"), "api\nweb\n");
    assert.equal(await printed("__names resource get app"), "api\nweb\n");
    assert.equal(await printed("__names device_group devices list -d"), "pos\n");
    assert.equal(await printed("__names user users info"), "ann\n");
    assert.equal(await printed("__names device devices info"), "");
    assert.equal(await printed("__names no-such-kind x"), "");
    assert.equal(await printed("__names resource audit --kind cron_job --name"), "clean\nweb\n");
    assert.equal(await printed("__names resource audit --kind=device-group --name"), "pos\n");
  });

  it("the names that a shell completes are of every kind that a NAME may be of, with the kind where two have the name", async () => {
    assert.equal(await printed("__names entity history"), "api\napp/web\nclean\ncron_job/web\npos\n");
    assert.equal(await printed("__names target why pos-1"), "api\napp/web\nclean\ncron_job/web\n");
    assert.equal(
      await printed("history app/web -o json").then((out) => JSON.parse(out)[0].revision),
      1,
      "a name with its kind is one that history takes",
    );
    const { entries } = await loadAll(commands);
    const namesOf = (command: string) =>
      entries.flatMap((entry) => (entry.kind === "command" && entry.name === command ? (entry.arguments ?? []) : [])).at(-1)?.flag;
    for (const [command, names] of [
      ["history", "entity"],
      ["rollback", "entity"],
      ["status", "entity"],
      ["why", "target"],
    ] as const) {
      const flag = namesOf(command);
      assert.deepEqual(flag?.kind === "text" ? flag.offers : undefined, { names }, command);
    }
  });

  it("the names that a shell completes are read with the server and the login of the command line", async () => {
    const home = await mkdtemp(join(tmpdir(), "nebulactl-names-"));
    try {
      await writeFile(join(home, "token"), "a-tests-token");
      const words = ["__names", "app", "apps", "--server", server.http, `--token-file=${join(home, "token")}`, "info"];
      assert.deepEqual(await nebulactl(words, { home }), { code: 0, out: "api\nweb\n", err: "" });
      assert.deepEqual(await nebulactl(words.toSpliced(3, 2), { home }), { code: 0, out: "", err: "" }, "no such server");
      await writeFile(
        join(home, ".nebulactl.json"),
        JSON.stringify({ profiles: { prod: { server: server.http }, "it's": { server: server.http } } }),
      );
      assert.equal((await nebulactl("__names profile --profile", { home })).out, "prod\n");
    } finally {
      await rm(home, { recursive: true });
    }
  });

  it("the names that a shell completes are not printed, without a word, where the server refuses or does not answer", async () => {
    assert.deepEqual(await run("__names app apps info", { env: { NEBULA_TOKEN: "wrong" } }), { code: 0, out: "", err: "" });
    await using silent = createServer(() => {}); // takes connections and never answers
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    const connected = once(silent, "connection");
    const waiting = run(["__names", "app"], { env: { NEBULA_SERVER: url } });
    const [socket] = await connected;
    assert.deepEqual(await waiting, { code: 0, out: "", err: "" });
    socket.destroy();
    // a user is named and there is no password: nobody is asked in the middle of a command line
    const asked = await run(["__names", "app", "--username", "ann"], { answers: ["a password"] });
    assert.deepEqual(asked, { code: 0, out: "", err: "" });
  });
});
