import type { JsonObject } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { parseDuration } from "../../../common/settings/parse-duration.ts";
import { formatAddress } from "../../../common/settings/parse-listen-address.ts";
import type { ServerUrl } from "../../../common/settings/settings.ts";
import { AccessService, type EnrolmentToken } from "../../../gen/nebula/v1/access_pb.ts";
import { deviceTokenList, enrolmentJson, enrolmentList } from "../access/token-views.ts";
import type { Command } from "../command/command.ts";
import type { CommandContext } from "../command/context.ts";
import type { NumberFlag, TextFlag } from "../command/flags.ts";
import { answered } from "../entities/entity-calls.ts";
import { allPages, type Page } from "../entities/pages.ts";
import { type ListView, printList } from "../output/print-list.ts";
import { renderValue } from "../output/render-value.ts";
import { confirmDelete, YES } from "./confirm.ts";
import { ofExistingGroup } from "./in-use.ts";

const DEVICE: TextFlag = { kind: "text", name: "device", placeholder: "DEVICE", help: "The device's id." };
const ENROLMENT: TextFlag = { kind: "text", name: "id", placeholder: "ID", help: "The enrolment token's id, as `devices enrolments` lists it." };
const INTO: TextFlag = { kind: "text", name: "device-group", short: "d", placeholder: "GROUP", help: "The device_group that devices come into." };
const OF_GROUP: TextFlag = { kind: "text", name: "device-group", short: "d", placeholder: "GROUP", help: "Only of this device_group." };
const USES: NumberFlag = {
  kind: "number",
  name: "uses",
  placeholder: "N",
  min: 1,
  max: 1_000_000,
  integer: true,
  help: "How many devices may come in with it. Default: 1.",
};
const EXPIRES: TextFlag = { kind: "text", name: "expires", placeholder: "DURATION", help: "How long it is valid: 30m, 24h, 7d. Default: 24h." };
const LIMIT: NumberFlag = { kind: "number", name: "limit", placeholder: "N", min: 1, integer: true, help: "At most this many. Default: all." };

/** What the noun `devices` does with the tokens of devices. */
export const deviceTokenVerbs: readonly Command[] = [
  {
    kind: "command",
    name: "enroll",
    aliases: ["enrol"],
    summary: "Makes an enrolment token, with which devices come into a device_group and get a token of their own.",
    details: ["The token is shown once; the server keeps only its hash."],
    examples: ["nebulactl devices enroll --device-group pos", "nebulactl devices enroll --device-group pos --uses 200 --expires 7d"],
    flags: [INTO, USES, EXPIRES],
    required: [INTO],
    outputs: ["table", "json", "yaml"],
    async run({ client, login, values, signal, io, output, paint }) {
      const request = { deviceGroup: values.text(INTO) ?? "", uses: values.number(USES) ?? 0, expiresInSeconds: secondsOf(values.text(EXPIRES)) };
      const { enrolmentToken, token } = await (await client(AccessService)).createEnrolmentToken(request, { signal });
      const enrolment = answered(enrolmentToken, "enrolment token");
      const { server, tls } = await login();
      const json = (): JsonObject => ({ token, enrolment_token: enrolmentJson(enrolment) });
      io.out(await renderValue({ text: () => enrolmentText(enrolment, token, server, tls?.ca !== undefined), json }, output, paint));
      return 0;
    },
  },
  {
    kind: "command",
    name: "enrolments",
    aliases: ["enrollments"],
    summary: "Lists the enrolment tokens that are valid, newest first.",
    flags: [OF_GROUP, LIMIT],
    outputs: ["table", "json", "yaml"],
    async run(context) {
      return printOfGroup(context, enrolmentList(context.io.clock.now()), async (client, page) => {
        const { enrolmentTokens: items, nextPageToken } = await client.listEnrolmentTokens(page, { signal: context.signal });
        return { items, nextPageToken };
      });
    },
  },
  {
    kind: "command",
    name: "revoke-enrolment",
    aliases: ["revoke-enrollment"],
    summary: "Ends an enrolment token. Devices that came in with it stay.",
    arguments: [{ label: "ID", flag: ENROLMENT }],
    required: [ENROLMENT],
    flags: [YES],
    async run(context) {
      const id = context.values.text(ENROLMENT) ?? "";
      await confirmDelete(`enrolment token ${id}`, id, context);
      await (await context.client(AccessService)).revokeEnrolmentToken({ id }, { signal: context.signal });
      context.io.out(`enrolment token ${id} revoked\n`);
      return 0;
    },
  },
  {
    kind: "command",
    name: "tokens",
    summary: "Lists the devices that have a token of their own.",
    flags: [OF_GROUP, LIMIT],
    outputs: ["table", "json", "yaml"],
    async run(context) {
      return printOfGroup(context, deviceTokenList(context.io.clock.now()), async (client, page) => {
        const { deviceTokens: items, nextPageToken } = await client.listDeviceTokens(page, { signal: context.signal });
        return { items, nextPageToken };
      });
    },
  },
  {
    kind: "command",
    name: "revoke",
    summary: "Ends a device's token: it is cut off within a second, and what it runs goes on. It may enroll again.",
    arguments: [{ label: "DEVICE", flag: DEVICE }],
    required: [DEVICE],
    flags: [YES],
    async run(context) {
      const deviceId = context.values.text(DEVICE) ?? "";
      await confirmDelete(`the token of device ${deviceId}`, deviceId, context);
      await (await context.client(AccessService)).revokeDeviceToken({ deviceId }, { signal: context.signal });
      context.io.out(`token of device ${deviceId} revoked\n`);
      return 0;
    },
  },
];

type OfGroup = Readonly<{ deviceGroup: string; pageSize: number; pageToken: string }>;

/** Prints tokens, those of one device_group or of all. Answers the exit code. */
async function printOfGroup<T>(
  context: CommandContext,
  view: ListView<T>,
  fetch: (client: Client<typeof AccessService>, page: OfGroup) => Promise<Page<T>>,
): Promise<number> {
  const client = await context.client(AccessService);
  const deviceGroup = context.values.text(OF_GROUP) ?? "";
  const pages = allPages((pageSize, pageToken) => fetch(client, { deviceGroup, pageSize, pageToken }), { limit: context.values.number(LIMIT) });
  await printList(ofExistingGroup(pages, context.values.text(OF_GROUP), context), view, context);
  return 0;
}

/** 0: as the server has it by default. */
function secondsOf(expires: string | undefined): number {
  if (expires === undefined) return 0;
  const parsed = parseDuration(expires);
  const seconds = parsed.kind === "value" ? Math.ceil(parsed.value / 1000) : 0;
  if (seconds >= 1 && seconds <= 365 * 86_400) return seconds;
  throw new NebulaError("invalid_argument", `--expires is a duration from 1s to 365d, such as 30m, 24h or 7d, not "${expires}"`);
}

/** @param ownAuthority the server's certificate is of an authority that the device has to be told of, too */
function enrolmentText({ id, deviceGroup, usesLeft, expiresAt }: EnrolmentToken, token: string, server: ServerUrl, ownAuthority: boolean): string {
  const until = expiresAt === undefined ? "" : `, until ${new Date(timestampMs(expiresAt)).toISOString().replace(/\.\d+Z$/, "Z")}`;
  const devices = usesLeft === 1 ? "1 device" : `${usesLeft} devices`;
  return [
    `Enrolment token ${id} for ${devices} of device_group ${deviceGroup}${until}; it is shown this once:`,
    `  ${token}`,
    `On the device, with the server's address as it is seen from there${ownAuthority ? ", and NEBULA_TLS_CA naming a copy of the authority's file" : ""}:`,
    `  NEBULA_SERVER=${server.protocol}://${formatAddress(server)} NEBULA_ENROLL_TOKEN=${token} nebula worker`,
    "",
  ].join("\n");
}
