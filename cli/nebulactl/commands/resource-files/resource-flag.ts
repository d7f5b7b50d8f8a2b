import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { parseResourceFiles, type ResourceViolation, resourceViolationLine } from "../../../../common/resources/parse-resources.ts";
import type { Resource } from "../../../../common/resources/resource.ts";
import type { CommandContext } from "../../command/context.ts";
import type { TextFlag } from "../../command/flags.ts";
import { readResourceFiles } from "./read-resource-files.ts";
import { inOrder } from "./write-order.ts";

/** The resource files of apply and plan. */
export const FILE: TextFlag = {
  kind: "text",
  name: "file",
  aliases: ["filename"],
  short: "f",
  placeholder: "FILE",
  offers: { files: true },
  repeatable: true,
  help: "A resource file, a folder of them, or - for standard input.",
};

/** Reads what the files describe, in the order in which it can be written. Throws `invalid_argument` with every fault in them. */
export async function readResources({ values, io, signal }: Pick<CommandContext, "values" | "io" | "signal">): Promise<Resource[]> {
  const parsed = parseResourceFiles(await readResourceFiles(values.all(FILE), () => io.readStdin(signal)));
  if (parsed.kind === "invalid") throw invalidFiles(parsed.violations);
  return inOrder(parsed.resources);
}

function invalidFiles(violations: readonly ResourceViolation[]): NebulaError {
  const lines = violations.map(resourceViolationLine);
  return new NebulaError("invalid_argument", lines[0] ?? "invalid resource files", {
    violations: violations.map(({ description }, index) => ({ field: (lines[index] ?? "").replace(`: ${description}`, ""), description })),
  });
}
