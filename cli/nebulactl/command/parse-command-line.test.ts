import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { Command, CommandTable } from "./command.ts";
import type { NumberFlag, SwitchFlag, TextFlag, ToggleFlag } from "./flags.ts";
import { GLOBAL_FLAGS, SERVER } from "./global-flags.ts";
import { type CommandLine, missingFlags, parseCommandLine } from "./parse-command-line.ts";

const APP: TextFlag = { kind: "text", name: "app", short: "a", placeholder: "APP", help: "The app." };
const PORTS: TextFlag = { kind: "text", name: "starting-ports", short: "p", placeholder: "P", help: "Ports." };
const ENV: TextFlag = { kind: "text", name: "env", placeholder: "K=V", repeatable: true, help: "One variable." };
const RULE: TextFlag = { kind: "text", name: "rule", placeholder: "R", choices: ["skip", "replace"], help: "Rule." };
const LIMIT: NumberFlag = { kind: "number", name: "limit", aliases: ["page-size"], placeholder: "N", min: 1, integer: true, help: "Limit." };
const RUNNING: ToggleFlag = { kind: "toggle", name: "running", short: "r", off: "stopped", offShort: "s", help: "Runs." };
const YES: SwitchFlag = { kind: "switch", name: "yes", help: "Yes." };
const HOST: TextFlag = { kind: "text", name: "host", short: "h", placeholder: "HOST", help: "Host." };

const run = async () => 0;
const update: Command = {
  kind: "command",
  name: "update",
  summary: "Updates.",
  arguments: [{ label: "APP", flag: APP }],
  required: [APP],
  flags: [PORTS, ENV, RULE, LIMIT, RUNNING, YES, HOST],
  outputs: ["table", "json"],
  run,
};
const list: Command = { kind: "command", name: "list", summary: "Lists.", flags: [LIMIT], run };
const table: CommandTable = {
  program: "tool",
  summary: "A tool.",
  globalFlags: GLOBAL_FLAGS,
  entries: [
    { kind: "noun", name: "cron-jobs", summary: "Jobs.", aliases: ["cron-job"], verbs: [list, update], defaultVerb: "list" },
    { kind: "noun", name: "apps", summary: "Apps.", verbs: [list, update] },
    { kind: "noun", name: "boxes", summary: "Boxes.", verbs: [{ ...list, flags: [HOST] }], defaultVerb: "list" },
    { kind: "command", name: "ping", summary: "Pings.", run },
  ],
};

const parse = (line: string) =>
  parseCommandLine(
    table,
    line.split(" ").filter((word) => word !== ""),
  );

function ran(line: CommandLine) {
  assert.equal(line.kind, "run", JSON.stringify(line));
  if (line.kind !== "run") throw new Error("unreachable");
  return line;
}

function messageOf(line: CommandLine): string {
  assert.equal(line.kind, "wrong", JSON.stringify(line));
  return line.kind === "wrong" ? line.message : "";
}

describe("a command line", () => {
  it("a command line names a noun and a verb, with - or _", () => {
    for (const line of ["cron-jobs update", "cron_jobs update", "cron_job update"]) assert.deepEqual(ran(parse(line)).path, ["cron-jobs", "update"]);
  });

  it("a command line has a noun's default verb where none is given", () => {
    assert.deepEqual(ran(parse("cron_jobs")).path, ["cron-jobs", "list"]);
    const line = ran(parse("cron_jobs --limit 5"));
    assert.deepEqual([line.path, line.values.number(LIMIT)], [["cron-jobs", "list"], 5]);
  });

  it("a command line names a verb as docker and kubectl do", () => {
    for (const line of ["apps ls", "cron_jobs ls"]) assert.equal(ran(parse(line)).path[1], "list");
    assert.match(messageOf(parse("apps rm web")), /unknown verb "rm"/);
  });

  it("a command line gives a name as an argument or as a flag", () => {
    for (const line of ["apps update web", "apps update --app web", "apps update -a web", "apps update --app=web", "apps update web --app web"]) {
      assert.equal(ran(parse(line)).values.text(APP), "web", line);
    }
    assert.match(messageOf(parse("apps update web --app other")), /APP is given twice: "web" and --app "other"/);
    assert.match(messageOf(parse("apps update web more")), /apps update takes APP; unexpected argument "more"/);
  });

  it("a command line takes - and _ as the same in flags, and leaves values alone", () => {
    assert.equal(ran(parse("apps update --starting_ports a_b")).values.text(PORTS), "a_b");
    assert.equal(ran(parse("apps update --starting_ports=--a_b=c")).values.text(PORTS), "--a_b=c");
    assert.equal(ran(parse("apps update -- --a_b")).values.text(APP), "--a_b");
  });

  it("a command line has a toggle on, off or absent, by either name and letter", () => {
    const said = (line: string) => ran(parse(`apps update web ${line}`)).values.toggle(RUNNING);
    assert.deepEqual([said("--running"), said("-r"), said("--stopped"), said("-s"), said("")], [true, true, false, false, undefined]);
    assert.equal(said("--running --stopped"), false);
    assert.match(messageOf(parse("apps update web --running=false")), /--running takes no value: write --running\/--stopped/);
  });

  it("a command line keeps every value of a repeatable flag, and the last of another", () => {
    const { values } = ran(parse("apps update web --env A=1 --env B=2 -p 80 -p 81"));
    assert.deepEqual([values.all(ENV), values.text(PORTS)], [["A=1", "B=2"], "81"]);
  });

  it("a command line takes global flags before, between and after noun and verb", () => {
    for (const line of ["--server u apps list", "apps --server u list", "apps list --server u", "--server=u apps list"]) {
      const { path, values } = ran(parse(line));
      assert.deepEqual([path, values.text(SERVER)], [["apps", "list"], "u"], line);
    }
  });

  it("a command line is refused with a value that looks like a flag, unless it is joined by =", () => {
    assert.match(messageOf(parse("apps update web -p --yes")), /-p needs a value, and "--yes" looks like a flag: use -p=--yes if it is the value/);
    assert.match(
      messageOf(parse("apps update web --starting_ports")),
      /--starting_ports needs a value: --starting_ports P|--starting-ports needs a value/,
    );
    assert.equal(ran(parse("apps update web --starting_ports -")).values.text(PORTS), "-");
  });

  it("a command line has its numbers and choices checked", () => {
    assert.match(messageOf(parse("apps list --limit 0")), /invalid --limit "0": use a whole number from 1 up to 4294967295/);
    assert.match(messageOf(parse("apps list --page_size 1.5")), /invalid --page-size "1.5": use a whole number from 1/);
    assert.match(messageOf(parse("apps update web --rule skp")), /invalid --rule "skp": use skip, replace; did you mean skip\?/);
  });

  it("a command line with an unknown noun, verb or flag is refused with the nearest one", () => {
    assert.match(messageOf(parse("aps list")), /unknown command "aps"; did you mean tool apps\?/);
    assert.match(messageOf(parse("apps updat")), /unknown verb "updat"; did you mean tool apps update\?/);
    assert.match(
      messageOf(parse("apps update web --startingports 80")),
      /unknown flag --startingports for "apps update"; did you mean --starting-ports\?/,
    );
    assert.match(messageOf(parse("apps update web -z")), /unknown flag -z for "apps update"/);
    assert.match(messageOf(parse("--bogus apps list")), /unknown flag --bogus for/);
    assert.match(messageOf(parse("apps")), /missing verb; use one of list, update/);
  });

  it("a command line may abbreviate a long flag to two letters or more, never to a short one's", () => {
    assert.match(messageOf(parse("apps update web --p 80")), /unknown flag --p for/);
    assert.match(messageOf(parse("apps update web --short:p 80")), /unknown flag --short:p for/);
  });

  it("a command line asks for help at any place, and a command may have -h for itself", () => {
    for (const line of ["", "--help", "-h", "help"]) assert.equal(parse(line).kind, "help", line);
    for (const line of ["apps --help", "help apps", "apps list --help", "help apps list", "apps list -h", "ping -h"])
      assert.equal(parse(line).kind, "help", line);
    assert.equal(ran(parse("apps update web -h box")).values.text(HOST), "box");
    assert.equal(ran(parse("boxes -h box")).values.text(HOST), "box");
    assert.equal(parse("--version").kind, "version");
  });

  it("a command line without required flags is refused with their names", () => {
    const missing = ran(parse("apps update"));
    assert.deepEqual(missingFlags(missing.command, missing.values), [APP]);
    const given = ran(parse("apps update web"));
    assert.deepEqual(missingFlags(given.command, given.values), []);
  });

  it("a command line takes the output format that a command offers", () => {
    assert.equal(ran(parse("apps update web")).output, "table");
    assert.equal(ran(parse("apps update web -o json")).output, "json");
    assert.match(messageOf(parse("apps update web -o yaml")), /invalid -o "yaml": use table, json/);
    assert.match(messageOf(parse("ping -o json")), /unknown flag -o for "ping"/);
  });

  it("a command line never crashes the program, for any text", () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "apps",
        "update",
        "list",
        "--app",
        "-a",
        "--env=",
        "--",
        "-",
        "-rs",
        "-o",
        "--output",
        "__proto__",
        "--__proto__",
        "--constructor=x",
        "help",
      ),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => ["run", "help", "version", "wrong"].includes(parseCommandLine(table, words).kind)),
    );
  });
});
