import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import type { Command, CommandTable } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { loadAll } from "../../command/load-commands.ts";
import { describeTable } from "./describe-table.ts";
import { fishScript } from "./fish-script.ts";
import { bashScript, zshScript } from "./posix-script.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

const SHELL: TextFlag = {
  kind: "text",
  name: "shell",
  placeholder: Object.keys(SCRIPTS).join("|"),
  choices: Object.keys(SCRIPTS),
  help: "The shell: bash, zsh or fish.",
};

/** Prints a script that completes the command lines of a table. */
export const completionOf = (table: CommandTable): Command => ({
  kind: "command",
  name: "completion",
  summary: "Prints a script with which a shell completes nebulactl's commands, flags and names.",
  details: [
    "Names of apps, cron_jobs, device_groups, devices, users and user_groups come from the server of the command line, with its login; if it does not",
    "answer within a second, none are offered. In ~/.bashrc: source <(nebulactl completion bash). In ~/.zshrc, after compinit: source <(nebulactl",
    "completion zsh). For fish, write the script to ~/.config/fish/completions/nebulactl.fish.",
  ],
  arguments: [{ label: "SHELL", flag: SHELL }],
  required: [SHELL],
  examples: ["nebulactl completion bash", "nebulactl completion zsh", "nebulactl completion fish > ~/.config/fish/completions/nebulactl.fish"],
  async run({ values, io }) {
    const shell = values.text(SHELL);
    const script = Object.entries(SCRIPTS).find(([name]) => name === shell)?.[1];
    if (script === undefined) throw new NebulaError("invalid_argument", `invalid SHELL "${shell}": use ${Object.keys(SCRIPTS).join(", ")}`);
    io.out(script(describeTable(await loadAll(table))));
    return 0;
  },
});
