import { strict as assert } from "node:assert";
import { mkdir, readFile, writeFile } from "node:fs/promises";

/** Asserts that a text is that of a file. With NEBULA_WRITE_GOLDEN set the file is written instead, for a change that is meant. */
export async function assertGolden(file: URL, text: string): Promise<void> {
  if (process.env.NEBULA_WRITE_GOLDEN) {
    await mkdir(new URL(".", file), { recursive: true });
    await writeFile(file, text);
  }
  assert.equal(text, await readFile(file, "utf8"), `${file.pathname}; NEBULA_WRITE_GOLDEN=1 writes it again`);
}
