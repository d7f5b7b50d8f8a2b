import { chmod, copyFile, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import packageJson from "../../package.json" with { type: "json" };
import { type Bundles, bundlePrograms, PROGRAMS } from "./bundle-programs.ts";
import { launcher, NODE_PACKAGES } from "./launcher.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NAMES = PROGRAMS.map(({ entry }) => entry);
const NOTICES = "THIRD_PARTY_LICENSES.txt";

/**
 * Writes a package that `npm pack` and `npm install -g` take: each program as one file, its command, and the licences of
 * what is in it. Replaces existing files of these names.
 */
export async function writePackage(folder: string): Promise<Bundles> {
  const made = await bundlePrograms(folder);
  const { bundles } = made;
  for (const { file, command } of bundles) {
    const name = basename(file, ".mjs");
    await writeFile(join(folder, name), launcher(name, command));
    await chmod(join(folder, name), 0o755); // writeFile's mode is that of a new file alone
  }
  await writeFile(join(folder, "package.json"), `${JSON.stringify(manifest(), undefined, 2)}\n`);
  await writeFile(join(folder, "README.md"), readme());
  await copyFile(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  await writeFile(join(folder, NOTICES), await notices([...new Set(bundles.flatMap(({ packages }) => packages))]));
  return made;
}

function manifest(): object {
  const { name, version, description, license, dependencies } = packageJson;
  return {
    name,
    version,
    description,
    license,
    private: true, // no npm publish by mistake; npm pack and npm install take it
    bin: Object.fromEntries(NAMES.toSorted().map((program) => [program, program])),
    files: [...NAMES.flatMap((program) => [program, `${program}.mjs`]), NOTICES],
    os: ["linux", "darwin"],
    // npm installs the one of its system, by the package's own "os" and "cpu"
    optionalDependencies: Object.fromEntries(NODE_PACKAGES.map((node) => [node.package, dependencies.node])),
  };
}

function readme(): string {
  return `# Nebula ${packageJson.version}

${packageJson.description}

- \`nebula\`: the server, its parts, and the worker of a device. \`nebula --help\` lists its commands.
- \`nebulactl\`: the client. \`nebulactl --help\` lists its commands.
- \`nebula-worker\`: what \`nebula worker\` runs.

They run on the Node that npm installs with this package on Linux (x64, arm64; glibc) and macOS (arm64), elsewhere on
the machine's, version 26 or newer. Licences of the packages within: ${NOTICES}.
`;
}

/** The licence of each package, as its terms want it in every copy: its name alone where the package comes without the text. */
async function notices(packages: readonly string[]): Promise<string> {
  const texts = await Promise.all(packages.toSorted().map(notice));
  return `Nebula's programs contain parts of the packages below.\n\n${texts.join("\n")}`;
}

async function notice(folder: string): Promise<string> {
  const { name, version, license }: Record<string, unknown> = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return `${"-".repeat(80)}\n${name} ${version} (${license})\n\n${texts.map((text) => `${text.trim()}\n`).join("\n")}`;
}
