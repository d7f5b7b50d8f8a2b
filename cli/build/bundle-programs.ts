import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

/** Their first lines say how Node runs them: with a small young generation of memory where that pays (docs/performance.md). */
const PROGRAMS = [
  // A device has little memory: names shorter than they need be. The others keep readable stack traces.
  { entry: "nebula-worker", minify: true },
  { entry: "nebula", minify: false },
  { entry: "nebulactl", minify: false },
] as const;

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
    bundle: true,
    platform: "node",
    target: "node26",
    format: "esm",
    minify,
    legalComments: "eof",
    plugins: [withoutUnused],
    // what is CommonJS among the packages asks for Node's own modules by require()
    banner: { js: `import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);` },
    logLevel: "warning",
  });
  return { file, bytes: (await stat(file)).size };
}
