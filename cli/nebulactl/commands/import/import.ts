import type { Credentials } from "../../../../common/access/authorization.ts";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { mapLimited } from "../../../../common/map-limited.ts";
import { jsonText, printableLine } from "../../../../common/printable.ts";
import { wholeSecret } from "../../../../common/text/utf8.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { SwitchFlag, TextFlag } from "../../command/flags.ts";
import { askPassword, secretOf } from "../../command/secrets.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { titleOf } from "../../views/entity-view.ts";
import { bindResource } from "../entities/bound-resource.ts";
import { OriginalApi, readOriginal } from "./original-api.ts";
import { hasUser, planStep, type Step, stepJson, stepLines, writeStep, writeUser } from "./step.ts";
import { type Refused, type WantedUser, wantedOf } from "./wanted.ts";

const FROM: TextFlag = { kind: "text", name: "from", placeholder: "URL", help: "The original manager: http://old-manager:80." };
const FROM_USER: TextFlag = { kind: "text", name: "from-user", placeholder: "NAME", help: "A user of it, who must be an admin there." };
const FROM_PASSWORD_FILE: TextFlag = {
  kind: "text",
  name: "from-password-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with the password of that user. Also NEBULA_FROM_PASSWORD.",
};
const FROM_TOKEN_FILE: TextFlag = {
  kind: "text",
  name: "from-token-file",
  placeholder: "FILE",
  offers: { files: true },
  help: "A file with a token of the original, instead of user and password. Also NEBULA_FROM_TOKEN.",
};
const DRY_RUN: SwitchFlag = { kind: "switch", name: "dry-run", help: "Only shows what would be created and changed, field by field." };
const OVERWRITE: SwitchFlag = {
  kind: "switch",
  name: "overwrite",
  help: "Takes the state of the original even for resources that were changed here since.",
};
const SKIP_REFUSED: SwitchFlag = {
  kind: "switch",
  name: "skip-refused",
  help: "Imports the rest if some objects can't be imported; without it, nothing is written in that case.",
};

/** The most reads at the same time. */
const READS = 8;

type UserStep = Readonly<{ user: WantedUser; exists: boolean }>;

/** Copies the contents of a running manager of the original Nebula. */
export const importFromOriginal: Command = {
  kind: "command",
  name: "import",
  summary: "Copies apps, cron_jobs, device_groups, users and user_groups from a running original manager.",
  details: [
    "Ids are kept, since old devices compare them. Passwords are copied. Tokens can't be copied: each user gets a new one, shown once.",
    "A repeated import changes only what differs. Changes made here since are kept, unless --overwrite is given. The original is only read.",
  ],
  required: [FROM],
  flags: [FROM, FROM_USER, FROM_PASSWORD_FILE, FROM_TOKEN_FILE, DRY_RUN, OVERWRITE, SKIP_REFUSED],
  outputs: ["table", "json"],
  examples: [
    "nebulactl import --from http://old-manager:80 --from-user nebula --from-password-file password --dry-run",
    "nebulactl import --from http://old-manager:80 --from-user nebula --from-password-file password",
  ],
  async run(context) {
    const { values, io, signal } = context;
    const server = readServerUrl(values.text(FROM) ?? "", "--from");
    if (server.protocol !== "http" && server.protocol !== "https") {
      throw new NebulaError("invalid_argument", "invalid --from: it must be the REST API of an original manager; use http:// or https://");
    }
    const wanted = wantedOf(await readOriginal(new OriginalApi(server, await originalCredentials(context), signal)));
    const stored = await mapLimited(wanted.resources, READS, ({ resource }) => bindResource(resource).stored(context));
    const steps = wanted.resources.map((each, index) => planStep(each, stored[index], values.on(OVERWRITE)));
    const users = await mapLimited(wanted.users, READS, async (user) => ({ user, exists: await hasUser(user.name, context) }));

    for (const note of wanted.notes) io.err(`note: ${printableLine(note)}\n`);
    for (const line of wanted.refused.flatMap(refusedLines)) io.err(line);
    const dry = values.on(DRY_RUN);
    if (!dry && wanted.refused.length > 0 && !values.on(SKIP_REFUSED)) {
      throw new NebulaError("failed_precondition", "nothing was written: fix the above in the original, or use --skip-refused");
    }
    if (dry) show(steps, users, context);
    const done = dry ? users : await write(steps, users, context);
    if (context.output === "table") io.out(summary(steps, done, wanted.refused, dry));
    return wanted.refused.length > 0 ? 1 : 0;
  },
};

function show(steps: readonly Step[], users: readonly UserStep[], context: CommandContext): void {
  const width = widthOf(steps, users);
  for (const step of steps) printStep(step, width, context);
  for (const each of users) printUser(each, undefined, width, context);
}

/**
 * Writes step by step and stops at the first error. Written objects stay, and the same command resumes there. Returns
 * the users, corrected by those that existed after all: the admin of the configuration is in no list.
 */
async function write(steps: readonly Step[], users: readonly UserStep[], context: CommandContext): Promise<readonly UserStep[]> {
  const width = widthOf(steps, users);
  let written = 0;
  const attempt = async <T>(title: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      const reason = (await context.explain(error)).join(" ");
      throw new NebulaError("failed_precondition", `stopped at ${title}: ${reason} (${written} written before it; the same command resumes here)`, {
        cause: error,
      });
    }
  };
  for (const step of steps) {
    await attempt(titleOf(step.wanted.resource), () => writeStep(step, context));
    if (step.kind === "create" || step.kind === "update") written++;
    printStep(step, width, context);
  }
  const done: UserStep[] = [];
  for (const each of users) {
    const token = each.exists ? undefined : await attempt(`user ${each.user.name}`, () => writeUser(each.user, context));
    if (token !== undefined) written++;
    const outcome = { ...each, exists: token === undefined };
    printUser(outcome, token, width, context);
    done.push(outcome);
  }
  return done;
}

function printStep(step: Step, width: number, { io, output }: CommandContext): void {
  io.out(output === "json" ? `${jsonText(stepJson(step))}\n` : stepLines(step, width).join(""));
}

/** @param token the new token, which is shown only once */
function printUser({ user: { name }, exists }: UserStep, token: string | undefined, width: number, { io, output }: CommandContext): void {
  if (output === "json") {
    io.out(`${jsonText({ kind: "user", name, step: exists ? "kept" : "create", ...(token === undefined ? {} : { token }) })}\n`);
    return;
  }
  const what = exists ? "exists: kept unchanged" : `create, with its old password and a new token${token === undefined ? "" : `: ${token}`}`;
  io.out(`${`user ${name}`.padEnd(width)}  ${what}\n`);
}

function refusedLines({ title, violations }: Refused): string[] {
  return violations.map(({ field, description }) => `can't be imported: ${printableLine(`${title}: ${field} ${description}`)}\n`);
}

function summary(steps: readonly Step[], users: readonly UserStep[], refused: readonly Refused[], dry: boolean): string {
  const count = (kind: Step["kind"]) => steps.filter((step) => step.kind === kind).length;
  const made = count("create") + users.filter(({ exists }) => !exists).length;
  const kept = count("kept") + users.filter(({ exists }) => exists).length;
  const counts = [`${made} created`, `${count("update")} changed`, `${count("unchanged")} unchanged`, `${kept} kept`, `${refused.length} refused`];
  return `${counts.join(", ")}${dry ? " (dry run: nothing was written)" : ""}\n`;
}

function widthOf(steps: readonly Step[], users: readonly UserStep[]): number {
  const titles = [...steps.map((step) => titleOf(step.wanted.resource)), ...users.map(({ user }) => `user ${user.name}`)];
  return Math.max(0, ...titles.map((title) => title.length));
}

/** The credentials for the original manager; undefined if it needs none. */
async function originalCredentials({ values, io, signal }: Pick<CommandContext, "values" | "io" | "signal">): Promise<Credentials | undefined> {
  const token = (await secretOf(values, FROM_TOKEN_FILE)) ?? wholeSecret(io.env.NEBULA_FROM_TOKEN ?? "", "NEBULA_FROM_TOKEN");
  const user = values.text(FROM_USER) ?? "";
  if (token !== "" && user !== "") {
    throw new NebulaError("invalid_argument", "--from-user and a token of the original are both given; use one of them");
  }
  if (token !== "") return { kind: "token", token };
  const password = (await secretOf(values, FROM_PASSWORD_FILE)) ?? wholeSecret(io.env.NEBULA_FROM_PASSWORD ?? "", "NEBULA_FROM_PASSWORD");
  if (user !== "") return { kind: "password", user, password: password !== "" ? password : await askPassword(user, io, signal) };
  if (password !== "") throw new NebulaError("invalid_argument", "a password of the original without a user; use --from-user");
  return undefined;
}
