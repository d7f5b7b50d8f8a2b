import { strict as assert } from "node:assert";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** The paths of the views that the page has. Node can't load TSX, so it is bundled first, as for a browser. */
export async function pathsOfViews(): Promise<readonly string[]> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../gateway/dashboard/page/views.tsx", import.meta.url))],
    outdir: "views",
    bundle: true,
    format: "esm",
    jsx: "automatic",
    jsxImportSource: "preact",
    write: false,
    logLevel: "silent",
  });
  const script = outputFiles.find(({ path }) => path.endsWith(".js")) ?? assert.fail("esbuild made no script");
  const { VIEWS } = await import(`data:text/javascript;base64,${Buffer.from(script.contents).toString("base64")}`);
  return VIEWS.map(({ path }: { path: string }) => path);
}
