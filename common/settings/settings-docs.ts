import { WITHOUT_EFFECT } from "./older-names.ts";
import { COMMANDS, type Command, type Part, type Setting, usedBy } from "./setting.ts";
import { ALL_SETTINGS } from "./settings-table.ts";

/** Registry logins are not settings: a worker reads them at each pull, and they never leave the device. */
const REGISTRY_LOGINS = [
  ["REGISTRY_HOST", "The registry that the login is for; `skip`: none. Without it Docker Hub."],
  ["REGISTRY_AUTH_USER, REGISTRY_AUTH_PASSWORD", "The login. Logins in `~/.docker/config.json`, and credential helpers named there, are used too."],
] as const;

/** The reference of all settings: docs/settings.md. */
export function settingsReference(): string {
  const sections = [
    ["Server: manager, gateway, reporter", ["manager", "gateway", "reporter"]],
    ["Worker", ["worker"]],
  ] as const satisfies readonly (readonly [string, readonly Part[]])[];
  const everywhere = ALL_SETTINGS.filter((setting) => COMMANDS.every((command) => usedBy(setting, command)));
  const tables = sections.map(([title, parts]) => {
    const settings = ALL_SETTINGS.filter((setting) => !everywhere.includes(setting) && parts.some((part) => setting.parts.includes(part)));
    return `## ${title}\n${settingsTable(settings)}`;
  });
  const tasks: readonly Part[] = ["migrate", "backup"];
  const ofTasks = ALL_SETTINGS.filter(({ parts }) => parts.every((part) => tasks.includes(part)));
  return `# Settings

<!-- Made from common/settings/settings-table.ts by \`npm run docs:settings\`: change it there. -->

Every setting can be a variable, a key in a YAML file that \`--config\` or \`NEBULA_CONFIG\` names, and, where the table
names one, a flag. A flag overrides a variable, a variable the file, the file the default. The key in the file is the
variable's name without \`NEBULA_\`, in lower case: \`NEBULA_CACHE_TIME\`, \`--cache-time\`, \`cache_time\`. An empty variable
counts as absent. Invalid settings end the start with a message that names each of them. Durations are \`10s\`, \`5m\`,
\`12h\`, \`1h30m\`.

Secrets (marked *secret*) have no flag that holds them, since \`ps\` would show it: they come by variable, or from a file that \`<variable>_FILE\` (in the settings
file \`<key>_file\`) or their flag names. For the same reason a URL on the command line must not carry a password.

\`nebula server\` takes the settings of manager, gateway and reporter. Each of them may also run by itself: a manager and its
reporters then share a bus on Kafka and stores that both reach (docs/reports.md).
\`nebula migrate\` and \`nebula backup\` take those that say where things are kept, \`nebula health\` NEBULA_METRICS_LISTEN.

## Everywhere
${settingsTable(everywhere)}
${tables.join("\n")}
## Migrate alone
${settingsTable(ofTasks)}
## Names of the original
These variables of Nebula v2 are taken, too; ours go before them.

| variable | stands for |
|---|---|
${olderNames()}
| ${Object.keys(WITHOUT_EFFECT).join(", ")} | taken, without effect: ${Object.values(WITHOUT_EFFECT).join("; ")} |

## Registry logins
They stay on the device: a worker reads them at every pull, and every 30 s while a registry refuses the login.

| variable | meaning |
|---|---|
${REGISTRY_LOGINS.map(([name, meaning]) => `| ${name} | ${meaning} |`).join("\n")}
`;
}

function settingsTable(settings: readonly Setting<unknown>[]): string {
  const rows = settings.map((setting) => {
    const flag = setting.flag === undefined ? "" : `\`--${setting.flag}\``;
    const meaning = `${setting.secret ? "*Secret.* " : ""}${setting.meaning}`;
    return `| \`${setting.variable}\` | ${flag} | ${setting.defaultText} | ${meaning} |`;
  });
  return `\n| variable | flag | default | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
}

function olderNames(): string {
  return ALL_SETTINGS.flatMap(({ variable, aliases }) =>
    aliases.map(
      ({ variables, note }) => `| ${variables.map((name) => `\`${name}\``).join(", ")} | \`${variable}\`${note === "" ? "" : ` (${note})`} |`,
    ),
  ).join("\n");
}

/** The settings of one command, for its help. */
export function settingsHelp(command: Command): string {
  return ALL_SETTINGS.filter((setting) => usedBy(setting, command))
    .map(({ flag, variable, defaultText, meaning }) => {
      const names = flag === undefined ? variable : `--${flag}, ${variable}`;
      return `  ${names} (${plain(defaultText)})\n      ${plain(meaning)}`;
    })
    .join("\n");
}

function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}
