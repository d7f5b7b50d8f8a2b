import { execFile } from "node:child_process";
import { mkdir, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

/** The last commit on which a server was one process with its own files: its worker has only ever met one manager. */
export const RELEASE_BEFORE_SHARDS = "8a52dc75ab962dd0eaa391c65480cca6382b5c5c";

/** Release N-1: the last commit of the release before this one. Its stores have the schema before this one. */
export const RELEASE_BEFORE = "e7308aabc776ab201417340d054ced862623b76c";

/** As extractTree; skips the suite where this clone lacks the commit. Under CI=true that is a failure. */
export async function requireTree(context: Mocha.Context, commit: string, folder: string): Promise<string> {
  if (process.env.CI === "true" || (await isInClone(commit))) return extractTree(commit, folder);
  console.log(`    (skipped: this clone lacks commit ${commit}: git fetch --unshallow)`);
  return context.skip();
}

/**
 * Puts the files of an earlier commit of this repository into a new folder, with this tree's packages: its programs run from there. Answers the folder.
 * Rejects where this clone lacks the commit, or where a package that the commit depends on is installed in another version.
 */
export async function extractTree(commit: string, folder: string): Promise<string> {
  if (!(await isInClone(commit))) throw new Error(`commit "${commit}" is not in this clone: a shallow one lacks it; use git fetch --unshallow`);
  await mkdir(folder);
  const archive = `${folder}.tar`;
  await run("git", ["archive", "--format=tar", `--output=${archive}`, commit], { cwd: ROOT });
  await run("tar", ["--extract", "--file", archive, "--directory", folder]);
  await rm(archive);
  await assertDependencies(commit, folder);
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

function isInClone(commit: string): Promise<boolean> {
  return run("git", ["rev-parse", "--verify", "--quiet", `${commit}^{commit}`], { cwd: ROOT }).then(
    () => true,
    () => false,
  );
}

async function assertDependencies(commit: string, folder: string): Promise<void> {
  const { dependencies }: { dependencies: Readonly<Record<string, string>> } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  for (const [name, version] of Object.entries(dependencies)) {
    const installed = JSON.parse(await readFile(join(ROOT, "node_modules", name, "package.json"), "utf8"));
    if (installed.version !== version) throw new Error(`commit "${commit}" needs ${name} ${version}, and ${installed.version} is installed`);
  }
}
