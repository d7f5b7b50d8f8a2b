import { readFile, stat } from "node:fs/promises";
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

const COMMON = { bundle: true, platform: "node", target: "node26", format: "esm", logLevel: "warning" } as const;

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

async function bundle({ entry, minify }: (typeof PROGRAMS)[number], folder: string): Promise<Bundle> {
  const file = join(folder, `${entry}.mjs`);
  await build({
    entryPoints: [fileURLToPath(new URL(`../${entry}.ts`, import.meta.url))],
    outfile: file,
    ...COMMON,
    minify,
    legalComments: "eof",
    plugins: [withoutUnused, withBcryptThread],
    // what is CommonJS among the packages asks for Node's own modules by require()
    banner: { js: `import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);` },
  });
  return { file, bytes: (await stat(file)).size };
}
