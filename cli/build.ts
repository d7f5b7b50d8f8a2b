import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { writePackage } from "./build/write-package.ts";

// npm run build
const folder = fileURLToPath(new URL("../dist/", import.meta.url));
for (const { file, bytes } of await writePackage(folder)) console.log(`dist/${basename(file)}  ${(bytes / 1024).toFixed(0)} KB`);
