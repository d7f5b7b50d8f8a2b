import { fileURLToPath } from "node:url";
import { bundlePrograms } from "./build/bundle-programs.ts";

// npm run build
const folder = fileURLToPath(new URL("../dist/", import.meta.url));
for (const { file, bytes } of await bundlePrograms(folder)) console.log(`${file}  ${(bytes / 1024).toFixed(0)} KB`);
