/** How the build of the page makes its sources lighter. Nothing that the page does is another: `lighter-sources.test.ts` holds it. */
import { readFile } from "node:fs/promises";
import type { Plugin } from "esbuild";

/** Descriptors of the API in plain bytes, which compress to two thirds of what their base64 does. */
export const descriptorsAsText = transforming("descriptors as text", /[\\/]gen[\\/].*_pb\.ts$/, (source) =>
  source.replace(/fileDesc\("([^"]+)"/, (_, base64: string) => {
    const bytes = JSON.stringify(Buffer.from(base64, "base64").toString("latin1"));
    return `fileDesc(btoa(${bytes})`;
  }),
);

/** Enums of the packages as constants, so that those that nobody uses are left out. */
export const enumsAsConstants = transforming("enums as constants", /@bufbuild[\\/]protobuf[\\/].*_pb\.js$/, (source) =>
  source
    .replace(/^export var (\w+);$/gm, "export const $1 = /*@__PURE__*/ (($1) => {")
    .replace(/^\(function \(\w+\) \{$/gm, "")
    .replace(/^\}\)\((\w+) \|\| \(\w+ = \{\}\)\);$/gm, "return $1; })({});"),
);

/** What a module is in place of: its exports are functions that fail, or nothing at all. */
type LeftOut = Readonly<{ files: RegExp; as: (name: string) => string }>;

const fails = () => '() => { throw new Error("this is left out of the page"); }';

const LEFT_OUT: readonly LeftOut[] = [
  // the page speaks binary
  { files: /@bufbuild\/protobuf\/dist\/esm\/(?:from|to)-json\.js$/, as: fails },
  // drafts are YAML 1.2; tags of 1.1 are unknown ones
  { files: /yaml\/browser\/dist\/schema\/yaml-1\.1\/\w+\.js$/, as: (name) => (name === "schema" ? "[]" : "undefined") },
  // drafts are read as trees, and never made values of JavaScript
  { files: /yaml\/browser\/dist\/(?:nodes\/(?:toJS|addPairToJSMap)|doc\/applyReviver|parse\/cst-(?:scalar|stringify|visit))\.js$/, as: fails },
  // lines are printed whole
  { files: /yaml\/browser\/dist\/stringify\/foldFlowLines\.js$/, as: () => "(text) => text" },
];

/** Modules of the packages that the page loads, and does not use. */
export const unusedLeftOut: Plugin = {
  name: "unused left out",
  setup({ onLoad }) {
    for (const { files, as } of LEFT_OUT) {
      onLoad({ filter: files }, async ({ path }) => {
        const exported = exportsOf(await readFile(path, "utf8"));
        return { contents: exported.map((name) => `export const ${name} = ${as(name)};`).join("\n") };
      });
    }
  },
};

function exportsOf(source: string): readonly string[] {
  const listed = [...source.matchAll(/^export \{([^}]*)\};$/gm)].flatMap(([, names = ""]) => names.split(",").map((name) => name.trim()));
  return [...listed, ...[...source.matchAll(/^export (?:const|function) (\w+)/gm)].flatMap(([, name]) => name ?? [])];
}

function transforming(name: string, files: RegExp, transform: (source: string) => string): Plugin {
  return {
    name,
    setup({ onLoad }) {
      onLoad({ filter: files }, async ({ path }) => ({
        contents: transform(await readFile(path, "utf8")),
        loader: path.endsWith(".ts") ? "ts" : "js",
      }));
    },
  };
}
