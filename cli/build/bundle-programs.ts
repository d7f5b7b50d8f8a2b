import { chmod, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

/** Their first lines say how Node runs them: with a small young generation of memory where that pays (docs/performance.md). */
const PROGRAMS = [
  // A device has little memory: names shorter than they need be. The others keep readable stack traces.
  { entry: "nebula-worker", minify: true },
  { entry: "nebula", minify: false },
  { entry: "nebulactl", minify: false },
] as const;

/** What an older Node can read, so that it gets as far as the sentence on which one is needed. */
const COMMON = { bundle: true, platform: "node", target: "node18", format: "esm", logLevel: "warning" } as const;

/** What an older Node lacks, wholly or in part (argon2 of crypto): an import of it would end the program before its first line. */
const NEWER_MODULES = /^(node:)?(sqlite|crypto)$/;

/** For a program of short commands, what costs more to load than all else: http2 alone as much as an empty process, and most calls need none. */
const SLOW_MODULES = /^(node:)?(sqlite|crypto|http|http2|https|tls|zlib|dns|child_process|worker_threads|readline\/promises)$/;

/** Has modules of Node's loaded when they are used. */
const lateModules = (filter: RegExp): Plugin => ({
  name: "with modules of Node when they are used",
  setup({ onResolve, onLoad }) {
    onResolve({ filter }, ({ path }) => ({ path, namespace: "late" }));
    onLoad({ filter: /.*/, namespace: "late" }, ({ path }) => {
      const getters = Object.keys(process.getBuiltinModule(path) ?? {}).map(
        (name) => `get ${JSON.stringify(name)}() { return process.getBuiltinModule("${path}")[${JSON.stringify(name)}]; }`,
      );
      return { contents: `module.exports = { ${getters.join(",\n")} };` };
    });
  },
});

/**
 * Packages that dockerode loads for what is never done here: engines behind SSH, builds of images. They cost a worker some 10 MB. Who reaches for what
 * is missing gets undefined.
 */
const UNUSED_PACKAGES = /^(ssh2|@grpc\/proto-loader|protobufjs|tar-fs|@balena\/dockerignore)$/;

const withoutUnused: Plugin = {
  name: "without unused packages",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: UNUSED_PACKAGES }, ({ path }) => ({ path, namespace: "unused" }));
    onLoad({ filter: /.*/, namespace: "unused" }, () => ({ contents: "module.exports = {};" }));
  },
};

/** The program of the thread that checks bcrypt hashes goes into the file of its parent, as a data: URL. */
const withBcryptThread: Plugin = {
  name: "with the program of a thread",
  setup({ onLoad }) {
    onLoad({ filter: /\/bcrypt-thread-url\.ts$/ }, async ({ path }) => {
      const { outputFiles } = await build({ ...COMMON, entryPoints: [join(dirname(path), "bcrypt-thread.ts")], minify: true, write: false });
      const program = Buffer.from(outputFiles[0]?.contents ?? []).toString("base64");
      const licence = await readFile(fileURLToPath(new URL("LICENSE", import.meta.resolve("bcryptjs"))), "utf8"); // its notice goes with it
      return { contents: `/*! bcryptjs\n${licence}*/\nexport const BCRYPT_THREAD = new URL("data:text/javascript;base64,${program}");` };
    });
  },
};

export type Bundle = Readonly<{ file: string; bytes: number }>;

/** Writes each program as one file that needs nothing but Node, NAME.mjs, into a folder; files of these names there are replaced. */
export function bundlePrograms(folder: string): Promise<Bundle[]> {
  return Promise.all(PROGRAMS.map((program) => bundle(program, folder)));
}

/** The program, once Node is new enough for it. */
function starting(entry: string): string {
  const how = "install it from https://nodejs.org, or by your system's packages";
  return `import { requireNode } from "./require-node.js";\nrequireNode("${entry}", "${how}");\nawait import("./${entry}.ts");\n`;
}

function firstLine(program: string): string {
  return program.slice(0, program.indexOf("\n"));
}

async function bundle({ entry, minify }: (typeof PROGRAMS)[number], folder: string): Promise<Bundle> {
  const file = join(folder, `${entry}.mjs`);
  await build({
    stdin: { contents: starting(entry), resolveDir: fileURLToPath(new URL("..", import.meta.url)), sourcefile: `${entry}.js` },
    outfile: file,
    ...COMMON,
    minify,
    legalComments: "eof",
    plugins: [withoutUnused, withBcryptThread, lateModules(entry === "nebulactl" ? SLOW_MODULES : NEWER_MODULES)],
    // what is CommonJS among the packages asks for Node's own modules by require()
    banner: {
      js: `${firstLine(await readFile(fileURLToPath(new URL(`../${entry}.ts`, import.meta.url)), "utf8"))}\nimport { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);`,
    },
  });
  await chmod(file, 0o755);
  return { file, bytes: (await stat(file)).size };
}
