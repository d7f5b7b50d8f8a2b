import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";
import { build, type OutputFile, type Plugin } from "esbuild";

const SOURCES = fileURLToPath(new URL("../page/", import.meta.url));

/** Where the files that the document loads are served. */
export const ASSETS = "/ui/assets/";

/** The most that the page's script and style may weigh together, compressed, bytes. */
export const MOST_BYTES = 150 * 1024;

/** A file of the page, compressed by Brotli. */
export type PageFile = Readonly<{ contentType: string; brotli: Uint8Array }>;

/** The page as it is served: the document, and what it loads by names that say their content. */
export type Page = Readonly<{ document: PageFile; assets: ReadonlyMap<string, PageFile> }>;

export type BuiltPage = Readonly<{
  page: Page;
  /** Script and style, compressed. */
  bytes: number;
  /** The files that were bundled. */
  inputs: readonly string[];
}>;

/** Makes the page of its sources: one script for tabs, one for the worker that they share, one style, an icon and the document that loads them. */
export async function buildPage(): Promise<BuiltPage> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: SOURCES,
    entryPoints: { page: "main.tsx", streams: "browser/streams-worker.ts" },
    outdir: "assets",
    entryNames: "[name]-[hash]",
    chunkNames: "common-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["es2022"],
    minify: true,
    legalComments: "none",
    jsx: "automatic",
    jsxImportSource: "preact",
    plugins: [descriptorsAsText],
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const icon = await readFile(join(SOURCES, "icon.svg"));
  const name = (pattern: RegExp) => nameOf(outputFiles.find(({ path }) => pattern.test(path)));
  const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
  const [script, style, worker] = [name(/page-\w+\.js$/), name(/page-\w+\.css$/), name(/streams-\w+\.js$/)];
  const files = await Promise.all(
    outputFiles.map(async (file): Promise<[string, PageFile]> => [nameOf(file), await compressed(nameOf(file), file.contents)]),
  );
  return {
    page: {
      document: await compressed("index.html", Buffer.from(documentOf({ script, style, worker, icon: iconName }))),
      assets: new Map([...files, [iconName, await compressed(iconName, icon)]]),
    },
    bytes: files.reduce((sum, [, { brotli }]) => sum + brotli.byteLength, 0),
    inputs: Object.keys(metafile.inputs).map((input) => join(SOURCES, input)),
  };
}

function nameOf(file: OutputFile | undefined): string {
  if (file === undefined) throw new Error("esbuild made no file of that name");
  return file.path.slice(file.path.lastIndexOf("/") + 1);
}

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

async function compressed(name: string, content: Uint8Array): Promise<PageFile> {
  const contentType = TYPES[name.slice(name.lastIndexOf(".") + 1)];
  if (contentType === undefined) throw new Error(`the page has a file of an unknown type: ${name}`);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: content.byteLength };
  return { contentType, brotli: await promisify(brotliCompress)(content, { params }) };
}

/** Descriptors of the API in plain bytes, which compress to two thirds of what their base64 does. */
const descriptorsAsText: Plugin = {
  name: "descriptors as text",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]gen[\\/].*_pb\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      const asBytes = (_: string, base64: string) => `fileDesc(btoa(${JSON.stringify(Buffer.from(base64, "base64").toString("latin1"))})`;
      return { contents: source.replace(/fileDesc\("([^"]+)"/, asBytes), loader: "ts" };
    });
  },
};

/** The document. Scripts and styles are files, for its Content-Security-Policy allows none within it. */
function documentOf({ script, style, worker, icon }: Readonly<Record<"script" | "style" | "worker" | "icon", string>>): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="nebula-streams" content="${ASSETS}${worker}">
<title>Nebula</title>
<link rel="icon" href="${ASSETS}${icon}" type="image/svg+xml">
<link rel="stylesheet" href="${ASSETS}${style}">
<script type="module" src="${ASSETS}${script}"></script>
</head>
<body>
<div id="page"></div>
<noscript>The dashboard needs JavaScript. nebulactl does the same from a terminal.</noscript>
</body>
</html>
`;
}
