import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { jsonText, printableLine } from "../../../common/printable.ts";
import { bindResource } from "../apply/bound-resource.ts";
import { inBatches } from "../apply/in-batches.ts";
import type { Command } from "../command/command.ts";
import type { CommandContext } from "../command/context.ts";
import type { SwitchFlag } from "../command/flags.ts";
import { OriginalApi } from "../import/original-api.ts";
import { FROM, FROM_PASSWORD_FILE, FROM_TOKEN_FILE, FROM_USER, originalCredentials } from "../import/original-login.ts";
import { planStep, type Step } from "../import/plan-import.ts";
import { readOriginal } from "../import/read-original.ts";
import { stepJson, stepLines } from "../import/step-lines.ts";
import { type Refused, type WantedUser, wantedOf } from "../import/wanted.ts";
import { hasUser, writeStep, writeUser } from "../import/write-step.ts";
import { readServerUrl } from "../login/server-url.ts";
import { titleOf } from "./written.ts";

const DRY_RUN: SwitchFlag = { kind: "switch", name: "dry-run", help: "Only shows what would be created and changed, field by field." };
const OVERWRITE: SwitchFlag = { kind: "switch", name: "overwrite", help: "Takes the original's state also where it was changed here since." };
const SKIP_REFUSED: SwitchFlag = {
  kind: "switch",
  name: "skip-refused",
  help: "Imports the rest where something can't be imported as it is; without it nothing is written then.",
};

/** Reads under way at once. */
const READS = 8;

type UserStep = Readonly<{ user: WantedUser; there: boolean }>;

/** Copies what a running manager of the original Nebula holds. */
export const importFromOriginal: Command = {
  kind: "command",
  name: "import",
  summary: "Copies apps, cron_jobs, device_groups, users and user_groups from a running original manager.",
  details: [
    "Ids are kept: old devices go on comparing them. Passwords are carried over; tokens can't be, so that each user gets a new one, which is shown once.",
    "Again it changes only what differs. What was changed here since is kept, unless --overwrite is given. The original is only read.",
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
      throw new NebulaError("invalid_argument", "--from is the REST API of an original manager: http:// or https://");
    }
    const wanted = wantedOf(await readOriginal(new OriginalApi(server, await originalCredentials(context), signal)));
    const stored = await inBatches(wanted.resources, READS, ({ resource }) => bindResource(resource).stored(context));
    const steps = wanted.resources.map((each, index) => planStep(each, stored[index], values.on(OVERWRITE)));
    const users = await inBatches(wanted.users, READS, async (user) => ({ user, there: await hasUser(user.name, context) }));

    for (const note of wanted.notes) io.err(`note: ${printableLine(note)}\n`);
    for (const line of wanted.refused.flatMap(refusedLines)) io.err(line);
    const dry = values.on(DRY_RUN);
    if (!dry && wanted.refused.length > 0 && !values.on(SKIP_REFUSED)) {
      throw new NebulaError("failed_precondition", "nothing was written: mend the above in the original, or give --skip-refused");
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
 * Writes step by step; the first error ends it, and what was written stays: the same command goes on from there. Answers the users with who was there after
 * all: the configuration's admin is in no list.
 */
async function write(steps: readonly Step[], users: readonly UserStep[], context: CommandContext): Promise<readonly UserStep[]> {
  const width = widthOf(steps, users);
  let written = 0;
  const attempt = async <T>(title: string, call: () => Promise<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      const reason = (await context.explain(error)).join(" ");
      throw new NebulaError(
        "failed_precondition",
        `stopped at ${title}: ${reason} (${written} written before it; the same command goes on from here)`,
        {
          cause: error,
        },
      );
    }
  };
  for (const step of steps) {
    await attempt(titleOf(step.wanted.resource), () => writeStep(step, context));
    if (step.kind === "create" || step.kind === "update") written++;
    printStep(step, width, context);
  }
  const done: UserStep[] = [];
  for (const each of users) {
    const token = each.there ? undefined : await attempt(`user ${each.user.name}`, () => writeUser(each.user, context));
    if (token !== undefined) written++;
    const outcome = { ...each, there: token === undefined };
    printUser(outcome, token, width, context);
    done.push(outcome);
  }
  return done;
}

function printStep(step: Step, width: number, { io, output }: CommandContext): void {
  io.out(output === "json" ? `${jsonText(stepJson(step))}\n` : stepLines(step, width).join(""));
}

/** @param token shown once: it can't be read again */
function printUser({ user: { name }, there }: UserStep, token: string | undefined, width: number, { io, output }: CommandContext): void {
  if (output === "json") {
    io.out(`${jsonText({ kind: "user", name, step: there ? "kept" : "create", ...(token === undefined ? {} : { token }) })}\n`);
    return;
  }
  const what = there ? "is there: kept as it is" : `create, with its old password and a new token${token === undefined ? "" : `: ${token}`}`;
  io.out(`${`user ${name}`.padEnd(width)}  ${what}\n`);
}

function refusedLines({ title, violations }: Refused): string[] {
  return violations.map(({ field, description }) => `can't be imported: ${printableLine(`${title}: ${field} ${description}`)}\n`);
}

function summary(steps: readonly Step[], users: readonly UserStep[], refused: readonly Refused[], dry: boolean): string {
  const count = (kind: Step["kind"]) => steps.filter((step) => step.kind === kind).length;
  const made = count("create") + users.filter(({ there }) => !there).length;
  const kept = count("kept") + users.filter(({ there }) => there).length;
  const figures = [`${made} created`, `${count("update")} changed`, `${count("unchanged")} unchanged`, `${kept} kept`, `${refused.length} refused`];
  return `${figures.join(", ")}${dry ? " would be; nothing was written" : ""}\n`;
}

function widthOf(steps: readonly Step[], users: readonly UserStep[]): number {
  const titles = [...steps.map((step) => titleOf(step.wanted.resource)), ...users.map(({ user }) => `user ${user.name}`)];
  return Math.max(0, ...titles.map((title) => title.length));
}
