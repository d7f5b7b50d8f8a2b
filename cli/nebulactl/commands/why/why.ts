import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { explanationText } from "../../../../common/insight/text/explanation-text.ts";
import { targetKindOf } from "../../../../common/resources/target-kind.ts";
import { TargetKind } from "../../../../gen/nebula/v1/device_pb.ts";
import { ExplainService, ExplanationSchema } from "../../../../gen/nebula/v1/explain_pb.ts";
import type { Command } from "../../command/command.ts";
import type { TextFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { protoJson } from "../../output/proto-json.ts";
import { renderValue } from "../../output/render-value.ts";
import { renderFields } from "../../output/table.ts";
import { answered } from "../entities/kind.ts";
import { kindNamed } from "../history/entity-named.ts";

const DEVICE: TextFlag = { kind: "text", name: "device", placeholder: "DEVICE", offers: { names: "device" }, help: "The id of the device." };
const APP: TextFlag = {
  kind: "text",
  name: "app",
  placeholder: "APP",
  offers: { names: "target" },
  help: "Only this app or cron_job; cron_job/web where an app has the same name. Default: all of the device's.",
};

/** Explains why a device runs what it runs. */
export const why: Command = {
  kind: "command",
  name: "why",
  summary: "Explains where a change is stuck on its way to a device, and what to do about it.",
  details: [
    "It follows the newest revision: desired, connected, delivered, applied, containers. Durations are counted by the",
    "device's monotonic clock up to its newest report, and by the server's from then on.",
  ],
  arguments: [
    { label: "DEVICE", flag: DEVICE },
    { label: "APP", flag: APP },
  ],
  required: [DEVICE],
  outputs: OUTPUTS,
  examples: ["nebulactl why pos-0117", "nebulactl why pos-0117 web", "nebulactl why pos-0117 cron_job/backup -o json"],
  async run({ client, values, signal, io, output, paint }) {
    const target = parseTarget(values.text(APP) ?? "");
    const answer = await (await client(ExplainService)).explain({ deviceId: values.text(DEVICE) ?? "", ...target }, { signal });
    const explanation = answered(answer.explanation, "explanation");
    const { blocks, rest } = explanationText(explanation);
    const text = () => [...blocks.map((block) => renderFields(block, paint)), ...(rest.length === 0 ? [] : [`${rest.join("\n")}\n`])].join("\n");
    io.out(await renderValue({ text, json: () => protoJson(ExplanationSchema, explanation) }, output, paint));
    return 0;
  },
};

/** `web`, `app/web` or `cron_job/web`. */
function parseTarget(text: string): { kind: TargetKind; name: string } {
  const slash = text.indexOf("/");
  if (slash === -1) return { kind: TargetKind.UNSPECIFIED, name: text };
  const kind = kindNamed(text.slice(0, slash));
  const name = text.slice(slash + 1);
  if (kind === undefined || kind === "device_group" || name === "") {
    throw new NebulaError("invalid_argument", `invalid APP "${text}": use web, app/web or cron_job/web`);
  }
  return { kind: targetKindOf(kind), name };
}
