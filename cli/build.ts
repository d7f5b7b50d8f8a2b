import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { writePackage } from "./build/write-package.ts";

// npm run build
const folder = fileURLToPath(new URL("../dist/", import.meta.url));
const { bundles, pageBytes } = await writePackage(folder);
for (const { file, bytes } of bundles) console.log(`dist/${basename(file)}  ${kilobytes(bytes)}`);
console.log(`within nebula.mjs: the dashboard, ${kilobytes(pageBytes)} of script and style compressed`);

function kilobytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(0)} KB`;
}
