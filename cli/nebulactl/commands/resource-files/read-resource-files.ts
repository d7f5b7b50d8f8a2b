import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { systemReason } from "../../../../common/errors/system-reason.ts";
import type { ResourceFile } from "../../../../common/resources/parse-resources.ts";
import { utf8Text } from "../../../../common/text/utf8.ts";

const EXTENSIONS = [".yaml", ".yml", ".json"];

/** Reads the resource files at these paths: files, folders (their .yaml, .yml and .json files by name, without subfolders), and `-`,
 * standard input. */
export async function readResourceFiles(paths: readonly string[], readStdin: () => Promise<string>): Promise<ResourceFile[]> {
  const files: ResourceFile[] = [];
  for (const path of paths) {
    if (path === "-") files.push({ name: "standard input", text: withoutJsonList(await readStdin()) });
    else for (const file of await filesAt(path)) files.push({ name: file, text: withoutJsonList(await read(file)) });
  }
  return files;
}

async function filesAt(path: string): Promise<string[]> {
  if (/^https?:\/\//.test(path))
    throw new NebulaError("invalid_argument", `invalid -f "${path}": it must be a local file; use curl ${path} | nebulactl apply -f -`);
  const found = await stat(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => EXTENSIONS.some((extension) => name.endsWith(extension))).sort();
  if (names.length === 0) throw new NebulaError("invalid_argument", `-f ${path} is a folder without ${EXTENSIONS.join(", ")} files`);
  return names.map((name) => join(path, name));
}

async function read(file: string): Promise<string> {
  try {
    return utf8Text(await readFile(file), "it");
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Turns the JSON list that `get -o json` prints into one document for each resource. Other texts stay as they are. */
function withoutJsonList(text: string): string {
  if (!text.trimStart().startsWith("[")) return text;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) ? list.map((item) => `${JSON.stringify(item)}\n`).join("---\n") : text;
  } catch {
    return text; // the parser of resource files reports the fault
  }
}

function unreadable(path: string, error: unknown): NebulaError {
  return new NebulaError("invalid_argument", `-f ${path} can't be read: ${systemReason(error)}`, { cause: error });
}
