import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { commands as deferredCommands } from "../commands.ts";
import { parseWords } from "../fields/text-values.ts";
import { type Command, type CommandTable, type Entry, verbNames } from "./command.ts";
import { type Flag, normaliseName } from "./flags.ts";
import { help } from "./help.ts";
import { loadAll } from "./load-commands.ts";
import { missingFlags, parseCommandLine } from "./parse-command-line.ts";
import { commandReference } from "./reference.ts";
import { allFlags, type Topic } from "./split-command.ts";

type Named = { path: string[]; command: Command };

function commandsOf(entry: Entry): Named[] {
  assert.notEqual(entry.kind, "deferred", entry.name);
  if (entry.kind === "deferred") return [];
  if (entry.kind === "command") return [{ path: [entry.name], command: entry }];
  return entry.verbs.flatMap((verb) => (verb.kind === "deferred" ? [] : [{ path: [entry.name, verb.name], command: verb }]));
}

function namesOf(flag: Flag): string[] {
  const off = flag.kind === "toggle" ? [flag.off, ...(flag.offShort === undefined ? [] : [flag.offShort])] : [];
  return [flag.name, ...(flag.aliases ?? []), ...(flag.short === undefined ? [] : [flag.short]), ...off];
}

describe("the command table", () => {
  let commands: CommandTable;
  let all: Named[];
  before(async () => {
    commands = await loadAll(deferredCommands);
    all = commands.entries.flatMap(commandsOf);
    assert.ok(all.length > 40, `${all.length} commands`);
  });

  it("the command table has the same help of a command before its module is loaded as after", () => {
    const described = ({ name, aliases = [], summary }: Entry) => ({ name, aliases, summary });
    assert.deepEqual(deferredCommands.entries.map(described), commands.entries.map(described));
  });

  it("the command table gives every command a help with its arguments and flags, each line of one sentence", () => {
    for (const { path, command } of all) {
      const text = help(commands, { kind: "command", path, command }).join("\n");
      assert.ok(text.replaceAll("\n", " ").startsWith(command.summary), path.join(" "));
      for (const flag of command.flags ?? []) assert.ok(text.includes(`--${flag.name}`), `${path.join(" ")} --${flag.name}`);
      for (const { label } of command.arguments ?? []) assert.ok(text.includes(label), `${path.join(" ")} ${label}`);
      for (const flag of allFlags(command)) assert.match(flag.help, /[.?]$/, `${path.join(" ")} --${flag.name}`);
      assert.match(command.summary, /\.$/, path.join(" "));
    }
  });

  it("the command table is what docs/nebulactl.md says: npm run docs:nebulactl writes it", () => {
    assert.equal(readFileSync(new URL("../../../docs/nebulactl.md", import.meta.url), "utf8"), commandReference(commands));
  });

  it("the command table has examples that are command lines of it", () => {
    for (const { path, command } of all) {
      assert.ok((command.examples ?? []).length > 0, `${path.join(" ")} has an example`);
      for (const example of command.examples ?? []) {
        const lines = example.split(" | ").filter((line) => line.startsWith("nebulactl "));
        assert.ok(lines.length > 0, `${path.join(" ")}: ${example}`);
        for (const line of lines) {
          const words = parseWords(line.replace(/ [<>] ?\S+$/, ""), "the example").slice(1);
          const parsed = parseCommandLine(commands, words);
          assert.equal(parsed.kind, "run", `${line}: ${parsed.kind === "wrong" ? parsed.message : parsed.kind}`);
          if (parsed.kind === "run") assert.deepEqual(missingFlags(parsed.command, parsed.values), [], line);
        }
      }
    }
  });

  it("the command table writes - and no _ in the names of its flags and commands, in every help", () => {
    for (const { path, command } of all) {
      const text = help(commands, { kind: "command", path, command }).join("\n");
      assert.deepEqual(text.match(/--[a-z-]+_[a-z_]*|nebulactl [a-z]+_[a-z]+/g), null, path.join(" "));
    }
  });

  it("the command table uses every name once in a command, in kebab-case, one letter for short ones and more for long ones", () => {
    for (const { path, command } of all) {
      const names = allFlags(command).flatMap(namesOf);
      assert.deepEqual(names, [...new Set(names)], path.join(" "));
      for (const name of names) assert.match(name, /^([a-zA-Z]|[a-z][a-z0-9-]+)$/, `${path.join(" ")} ${name}`);
      assert.ok(names.every((name) => normaliseName(name) === name));
    }
  });

  it("the command table names every verb of a noun once, its other names included", () => {
    for (const entry of commands.entries) {
      if (entry.kind !== "noun") continue;
      const names = entry.verbs.flatMap(verbNames);
      assert.deepEqual(names, [...new Set(names)], entry.name);
    }
    const apps = commands.entries.find(({ name }) => name === "apps");
    assert.ok(apps?.kind === "noun");
    const text = help(commands, { kind: "noun", noun: apps }).join(" ");
    assert.ok(text.includes("Other names of verbs: ls for list, describe for info, show for info, rm for delete."), text);
  });

  it("the command table keeps the letters of -o and of flags that a command does not take apart", () => {
    for (const { path, command } of all) {
      if (command.outputs === undefined) continue;
      assert.ok(
        !allFlags(command)
          .flatMap(namesOf)
          .some((name) => ["o", "output", "server", "profile", "debug", "help"].includes(name)),
        path.join(" "),
      );
    }
  });

  it("the command table lists every noun and verb in the help above it", () => {
    const program = help(commands, { kind: "program" }).join("\n");
    for (const entry of commands.entries) {
      assert.ok(program.includes(`  ${entry.name} `));
      if (entry.kind !== "noun") continue;
      const text = help(commands, { kind: "noun", noun: entry }).join("\n");
      for (const verb of entry.verbs) assert.ok(text.includes(`  ${verb.name} `));
      assert.ok(entry.defaultVerb === undefined || entry.verbs.some(({ name }) => name === entry.defaultVerb));
    }
  });

  it("the command table fits 80 columns in every help, and breaks no word", () => {
    const topics: Topic[] = [
      { kind: "program" },
      ...commands.entries.flatMap((entry): Topic[] => (entry.kind === "noun" ? [{ kind: "noun", noun: entry }] : [])),
      ...all.map((named): Topic => ({ kind: "command", ...named })),
    ];
    for (const topic of topics) {
      for (const line of help(commands, topic)) assert.ok(line.length <= 80, `${line.length}: ${line}`);
    }
  });
});
