import { VERSION } from "../../../../common/version.ts";
import { StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import type { Command } from "../../command/command.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { fieldsText, renderValue } from "../../output/render-value.ts";

/** Prints the versions of both sides; this nebulactl's also where the server does not answer. */
export const version: Command = {
  kind: "command",
  name: "version",
  summary: "Prints the versions of nebulactl and of the server.",
  outputs: OUTPUTS,
  examples: ["nebulactl version", "nebulactl version -o json"],
  async run({ client, signal, io, output, paint }) {
    const versions: Record<string, string> = { nebulactl: VERSION };
    try {
      versions.server = (await (await client(StatusService)).getStatus({}, { signal })).version;
    } finally {
      io.out(await renderValue({ text: fieldsText(Object.entries(versions)), json: () => versions }, output, paint));
    }
    return 0;
  },
};
