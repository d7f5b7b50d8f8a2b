import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../common/errors/nebula-error.ts";

/** Where tools of tests stay between runs. */
const TOOLS = process.env.NEBULA_TEST_TOOLS ?? join(homedir(), ".cache", "nebula-test-tools");

/** Python with packages from PyPI. */
export type Python = Readonly<{
  python: string;
  /** The folder of its programs, which wants to be in PATH. */
  bin: string;
}>;

const run = promisify(execFile);

/**
 * Python with these packages from PyPI, in a folder that is kept for the next run. Where Python or PyPI is missing the suite is skipped; under CI=true
 * that is a failure.
 */
export async function requirePython(context: Mocha.Context, packages: readonly string[]): Promise<Python> {
  try {
    const { stdout: version } = await run("python3", ["--version"]);
    const key = createHash("sha256")
      .update(JSON.stringify([version, packages]))
      .digest("hex")
      .slice(0, 16);
    const note = join(TOOLS, `python-${key}`); // names the folder, once all is installed
    return (await installed(note)) ?? (await install(note, packages));
  } catch (error) {
    if (process.env.CI === "true") throw error;
    console.log(`    (skipped: ${packages.join(", ")} need python3, python3-venv and PyPI: ${messageOf(error).split("\n")[0]})`);
    context.skip();
  }
}

/** undefined: nothing is installed, or it does not run any more. */
async function installed(note: string): Promise<Python | undefined> {
  try {
    const found = pythonIn((await readFile(note, "utf8")).trim());
    await run(found.python, ["--version"]);
    return found;
  } catch {
    return undefined;
  }
}

async function install(note: string, packages: readonly string[]): Promise<Python> {
  const folder = `${note}-${randomBytes(4).toString("hex")}`;
  const made = pythonIn(folder);
  await mkdir(TOOLS, { recursive: true });
  try {
    await run("python3", ["-m", "venv", folder]);
    await run(made.python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages]);
    await writeFile(join(folder, "note"), folder);
    await rename(join(folder, "note"), note);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return made;
}

function pythonIn(folder: string): Python {
  const bin = join(folder, "bin");
  return { python: join(bin, "python"), bin };
}
