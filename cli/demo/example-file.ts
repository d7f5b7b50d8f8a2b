import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { NebulaError } from "../../common/errors/nebula-error.ts";

/** Path of a file in `examples/`: in the nearest folder above this program's own that has it, be the program run from source or bundled. */
export function exampleFile(name: string, from = import.meta.dirname): string {
  const file = join(from, "examples", name);
  if (existsSync(file)) return file;
  const parent = dirname(from);
  if (parent === from) throw new NebulaError("not_found", `examples/${name} is in no folder above this program's own`);
  return exampleFile(name, parent);
}
