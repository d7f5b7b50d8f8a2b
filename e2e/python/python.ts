import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { messageOf } from "../../common/errors/nebula-error.ts";

/** Python with packages from PyPI, in a folder of its own. */
export type Python = AsyncDisposable &
  Readonly<{
    python: string;
    /** The folder of its programs, which wants to be in PATH. */
    bin: string;
  }>;

/** Installs packages from PyPI. Where Python or PyPI is missing the suite is skipped; under CI=true that is a failure. */
export async function requirePython(context: Mocha.Context, packages: readonly string[]): Promise<Python> {
  const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-python-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  const bin = join(folder, "bin");
  const python = join(bin, "python");
  try {
    await promisify(execFile)("python3", ["-m", "venv", folder]);
    await promisify(execFile)(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages]);
  } catch (error) {
    await remove();
    if (process.env.CI === "true") throw error;
    console.log(`    (skipped: ${packages.join(", ")} need python3, python3-venv and PyPI: ${messageOf(error).split("\n")[0]})`);
    context.skip();
  }
  return { python, bin, [Symbol.asyncDispose]: remove };
}
