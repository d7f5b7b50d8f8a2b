import { ageOf } from "../../../../common/text/age.ts";
import { GetStatusResponseSchema, StatusService } from "../../../../gen/nebula/v1/status_pb.ts";
import type { Command } from "../../command/command.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { protoJson } from "../../output/proto-json.ts";
import { fieldsText, renderValue } from "../../output/render-value.ts";
import { formatServerUrl } from "../../session/server-url.ts";

/** Checks that the server answers, and shows its version, its cluster and the user of the login. */
export const ping: Command = {
  kind: "command",
  name: "ping",
  summary: "Checks that the server answers, and shows its version and cluster.",
  outputs: OUTPUTS,
  examples: ["nebulactl ping", "nebulactl ping --server https://nebula.example.com"],
  async run({ client, login, signal, io, output, paint }) {
    const started = io.clock.monotonic();
    const status = await (await client(StatusService)).getStatus({}, { signal });
    const tookMs = io.clock.monotonic() - started;
    const { server } = await login();
    const text = fieldsText([
      ["server", { text: `${formatServerUrl(server)} answers, ${tookMs.toFixed(0)} ms`, color: "green" }],
      ["version", status.version],
      ["cluster", status.cluster === undefined ? "" : `${status.cluster.id}, epoch ${status.cluster.epoch}`],
      ["up since", status.startedAt === undefined ? "" : `${ageOf(status.startedAt, io.clock.now())} ago`],
      ["watches", String(status.watches)],
      ["user", status.user],
    ]);
    const json = () => protoJson(GetStatusResponseSchema, status);
    io.out(await renderValue({ text, json }, output, paint));
    return 0;
  },
};
