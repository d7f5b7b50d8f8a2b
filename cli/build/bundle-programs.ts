import { chmod, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { type BuiltPage, buildPage, MOST_BYTES, type PageFile } from "../../gateway/dashboard/serve/build-page.ts";

/**
 * Their first lines say how Node runs them: with a small young generation of memory where that pays
 * (docs/performance.md).
 */
export const PROGRAMS = [
  // A device has little memory: minified names. The others keep readable stack traces.
  { entry: "nebula-worker", minify: true },
  { entry: "nebula", minify: false },
  { entry: "nebulactl", minify: false },
] as const;

const CLI = fileURLToPath(new URL("..", import.meta.url));

/** Syntax that an older Node can read, so that it gets as far as naming the version that is needed. */
const COMMON = { bundle: true, platform: "node", target: "node18", format: "esm", logLevel: "warning" } as const;

/**
 * Modules of Node that are loaded when they are used, each for one of these reasons. An older Node lacks them, wholly
 * or in part (sqlite, argon2 of crypto): an import would end the program before its first line. An import reads all
 * that a module exports, and so loads what is behind it: http brings http2 and undici with it, 20 MB of memory and as
 * much time as an empty process takes.
 */
const LATE_MODULES = /^(node:)?(sqlite|crypto|http|http2|https|tls|zlib|dns|child_process|worker_threads|readline\/promises)$/;

const lateModules: Plugin = {
  name: "with modules of Node when they are used",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: LATE_MODULES }, ({ path }) => ({ path, namespace: "late" }));
    onLoad({ filter: /.*/, namespace: "late" }, ({ path }) => {
      const names = Object.keys(process.getBuiltinModule(path) ?? {});
      // set: docker-modem makes objects that inherit from http, and gives them functions of its own
      return {
        contents: `for (const name of ${JSON.stringify(names)}) Object.defineProperty(module.exports, name, {
          enumerable: true,
          get: () => process.getBuiltinModule("${path}")[name],
          set(value) { Object.defineProperty(this, name, { value, writable: true, enumerable: true, configurable: true }); },
        });`,
      };
    });
  },
};

/**
 * Packages that dockerode loads for what is never done here: engines behind SSH, builds of images. They cost a worker
 * some 10 MB. Their exports are undefined.
 */
const UNUSED_PACKAGES = /^(ssh2|@grpc\/proto-loader|protobufjs|tar-fs|@balena\/dockerignore)$/;

const withoutUnused: Plugin = {
  name: "without unused packages",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: UNUSED_PACKAGES }, ({ path }) => ({ path, namespace: "unused" }));
    onLoad({ filter: /.*/, namespace: "unused" }, () => ({ contents: "module.exports = {};" }));
  },
};

/** Puts the program of the bcrypt thread into the file of its parent, as a data: URL. */
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

/**
 * Where a clone changes kafkajs' decoder of answers in Node's cache of modules, a bundle has the changed one from the
 * start.
 */
const withKafkaDecoder: Plugin = {
  name: "with our decoder of what Kafka answers",
  setup({ onLoad }) {
    const ours = fileURLToPath(new URL("../../common/bus/kafka/replace-decoder.ts", import.meta.url));
    onLoad({ filter: /\/kafkajs\/src\/protocol\/requests\/fetch\/v4\/decodeMessages\.js$/ }, () => ({
      contents: `module.exports = (...given) => require(${JSON.stringify(ours)}).decodeMessages(...given);`,
    }));
    onLoad({ filter: /\/bus\/kafka\/replace-decoder\.ts$/ }, async ({ path }) => ({
      contents: `${(await readFile(path, "utf8")).split("/** Puts decodeMessages", 1)[0]}\nexport function replaceDecoder() {}`,
      loader: "ts",
    }));
  },
};

/** Puts the page of the dashboard, as it is served, in the place of what makes it of its sources. */
function withPage({ page }: BuiltPage): Plugin {
  const text = ({ contentType, brotli }: PageFile) => ({ contentType, brotli: Buffer.from(brotli).toString("base64") });
  const files = { document: text(page.document), assets: [...page.assets].map(([name, file]) => [name, text(file)]) };
  return {
    name: "with the page of the dashboard",
    setup({ onLoad }) {
      onLoad({ filter: /\/dashboard\/serve\/load-page\.ts$/ }, () => ({
        contents: `const { document, assets } = ${JSON.stringify(files)};
          const file = ({ contentType, brotli }) => ({ contentType, brotli: Buffer.from(brotli, "base64") });
          export async function loadPage() {
            return { document: file(document), assets: new Map(assets.map(([name, asset]) => [name, file(asset)])) };
          }`,
      }));
    },
  };
}

export type Bundle = Readonly<{
  file: string;
  bytes: number;
  /** The words after `#!/usr/bin/env -S` of its first line: variables, `node` and its flags. */
  command: readonly string[];
  /** Folders of the packages that it contains. */
  packages: readonly string[];
}>;

/** The programs, and what the script and style of the dashboard weigh, compressed, bytes. */
export type Bundles = Readonly<{ bundles: readonly Bundle[]; pageBytes: number }>;

/**
 * Writes each program as one file, NAME.mjs, that needs nothing but Node. Replaces existing files of these names.
 * Rejects where the dashboard weighs more than it may.
 */
export async function bundlePrograms(folder: string): Promise<Bundles> {
  const page = await buildPage();
  if (page.bytes > MOST_BYTES) throw new Error(`script and style of the dashboard weigh ${page.bytes} bytes compressed: at most ${MOST_BYTES}`);
  return { bundles: await Promise.all(PROGRAMS.map((program) => bundle(program, page, folder))), pageBytes: page.bytes };
}

/** The program, once Node is new enough for it. */
function starting(entry: string): string {
  const how = "install it from https://nodejs.org, or by your system's packages";
  return `import { requireNode } from "./require-node.js";\nrequireNode("${entry}", "${how}");\nawait import("./${entry}.ts");\n`;
}

function firstLine(program: string): string {
  return program.slice(0, program.indexOf("\n"));
}

/** `node_modules/a/lib/b.js`: the folder of the package that a file is of; undefined: it is of this project. */
function packageOf(file: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

async function bundle({ entry, minify }: (typeof PROGRAMS)[number], page: BuiltPage, folder: string): Promise<Bundle> {
  const file = join(folder, `${entry}.mjs`);
  const shebang = firstLine(await readFile(join(CLI, `${entry}.ts`), "utf8"));
  const { metafile } = await build({
    stdin: { contents: starting(entry), resolveDir: CLI, sourcefile: `${entry}.js` },
    outfile: file,
    absWorkingDir: CLI,
    metafile: true,
    ...COMMON,
    minify,
    legalComments: "eof",
    plugins: [withoutUnused, withBcryptThread, withKafkaDecoder, withPage(page), lateModules],
    // what is CommonJS among the packages asks for Node's own modules by require()
    banner: {
      js: `${shebang}\nimport { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);`,
    },
  });
  await chmod(file, 0o755);
  const inputs = Object.keys(metafile.inputs).map((input) => join(CLI, input));
  const hasPage = inputs.some((input) => input.endsWith("/dashboard/serve/load-page.ts"));
  const packages = new Set([...inputs, ...(hasPage ? page.inputs : [])].flatMap((input) => packageOf(input) ?? []));
  return { file, bytes: (await stat(file)).size, command: shebang.replace(/^#!\/usr\/bin\/env( -S)? /, "").split(" "), packages: [...packages] };
}
