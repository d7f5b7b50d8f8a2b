import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import { enrolmentText, type ForDevice, workerImage } from "../../../../common/insight/text/enrolment-text.ts";
import { formatAddress, isLoopback } from "../../../../common/net/address.ts";
import { parseDuration } from "../../../../common/settings/parsers.ts";
import type { ServerUrl } from "../../../../common/settings/settings.ts";
import { ageOf, formatAge } from "../../../../common/text/age.ts";
import { VERSION } from "../../../../common/version.ts";
import {
  AccessService,
  type DeviceToken,
  DeviceTokenSchema,
  type EnrolmentToken,
  EnrolmentTokenSchema,
} from "../../../../gen/nebula/v1/access_pb.ts";
import type { Command } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { NumberFlag, TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS, OUTPUTS } from "../../command/global-flags.ts";
import type { ListView } from "../../output/print-list.ts";
import { protoJson } from "../../output/proto-json.ts";
import { renderValue } from "../../output/render-value.ts";
import { readServerUrl } from "../../session/server-url.ts";
import { confirmDelete, YES } from "../entities/confirm-delete.ts";
import { answered } from "../entities/kind.ts";
import { LIMIT_FLAGS, NO_LIMIT, OF_GROUP, type Page, printSomePages } from "../lists/pages.ts";

const DEVICE: TextFlag = { kind: "text", name: "device", placeholder: "DEVICE", offers: { names: "device" }, help: "The id of the device." };
const ENROLMENT: TextFlag = { kind: "text", name: "id", placeholder: "ID", help: "The id of the enrolment token, as `devices enrolments` lists it." };
const INTO: TextFlag = {
  kind: "text",
  name: "device-group",
  short: "d",
  placeholder: "GROUP",
  offers: { names: "device_group" },
  help: "The device_group that the devices enrol into.",
};
const USES: NumberFlag = {
  kind: "number",
  name: "uses",
  placeholder: "N",
  min: 1,
  max: 1_000_000,
  integer: true,
  help: "How many devices may enrol with it. Default: 1.",
};
const EXPIRES: TextFlag = { kind: "text", name: "expires", placeholder: "DURATION", help: "Its validity: 30m, 24h, 7d. Default: 24h." };

const WORKER_IMAGE = workerImage(VERSION);
const IMAGE: TextFlag = {
  kind: "text",
  name: "image",
  short: "i",
  placeholder: "IMAGE",
  help: `The image in the command for the device. Default: ${WORKER_IMAGE}.`,
};
const SERVER_FOR_DEVICES: TextFlag = {
  kind: "text",
  name: "server-for-devices",
  placeholder: "URL",
  help: "The server's address in the commands for the device. Default: the one that this nebulactl uses.",
};

/** The verbs of `devices` for enrolment tokens and device tokens. */
export const deviceTokenVerbs: readonly Command[] = [
  {
    kind: "command",
    name: "enroll",
    aliases: ["enrol"],
    summary: "Creates an enrolment token, with which devices enrol into a device_group and get a token of their own.",
    details: [
      "The token is shown once, with the commands that make a machine a device; the server keeps only its hash. With -o",
      "json or -o yaml nothing but the token and its record is printed.",
    ],
    examples: [
      "nebulactl devices enroll --device-group pos",
      "nebulactl devices enroll --device-group pos --uses 200 --expires 7d",
      "nebulactl devices enroll --device-group pos --server-for-devices https://nebula.example.com --image registry.example.com/nebula-worker:1",
    ],
    flags: [INTO, USES, EXPIRES, SERVER_FOR_DEVICES, IMAGE],
    required: [INTO],
    outputs: OUTPUTS,
    async run({ client, login, values, signal, io, output, paint }) {
      const request = { deviceGroup: values.text(INTO) ?? "", uses: values.number(USES) ?? 0, expiresInSeconds: secondsOf(values.text(EXPIRES)) };
      const address = values.text(SERVER_FOR_DEVICES);
      const given = address === undefined ? undefined : readServerUrl(address, "--server-for-devices"); // before a token is made for it
      const { enrolmentToken, token } = await (await client(AccessService)).createEnrolmentToken(request, { signal });
      const enrolment = answered(enrolmentToken, "enrolment token");
      const { server, tls } = await login();
      const json = (): JsonObject => ({ token, enrolment_token: enrolmentJson(enrolment) });
      const device = forDevice(given ?? server, tls?.ca !== undefined, values.text(IMAGE));
      io.out(await renderValue({ text: () => enrolmentText(enrolment, token, device), json }, output, paint));
      return 0;
    },
  },
  {
    kind: "command",
    name: "enrolments",
    aliases: ["enrollments"],
    summary: "Lists the valid enrolment tokens, newest first.",
    examples: ["nebulactl devices enrolments --device-group pos"],
    flags: [OF_GROUP, ...LIMIT_FLAGS],
    outputs: LIST_OUTPUTS,
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
    summary: "Revokes an enrolment token. Devices that enrolled with it stay.",
    examples: ["nebulactl devices revoke-enrolment 5b1f8f0c6f2b9a44"],
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
    examples: ["nebulactl devices tokens --device-group pos"],
    flags: [OF_GROUP, ...LIMIT_FLAGS],
    outputs: LIST_OUTPUTS,
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
    summary: "Revokes the token of a device: it is disconnected within a second, and its containers keep running. It may enrol again.",
    examples: ["nebulactl devices revoke pos-0117"],
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

/** Prints tokens, those of one device_group or of all. Returns the exit code. */
async function printOfGroup<T>(
  context: CommandContext,
  view: ListView<T>,
  fetch: (client: Client<typeof AccessService>, page: OfGroup) => Promise<Page<T>>,
): Promise<number> {
  const client = await context.client(AccessService);
  const deviceGroup = context.values.text(OF_GROUP) ?? "";
  const pages = (pageSize: number, pageToken: string) => fetch(client, { deviceGroup, pageSize, pageToken });
  await printSomePages(pages, NO_LIMIT, view, context, context.values.text(OF_GROUP));
  return 0;
}

/** Seconds of --expires; 0, the default of the server, if it was not given. */
function secondsOf(expires: string | undefined): number {
  if (expires === undefined) return 0;
  const parsed = parseDuration(expires);
  const seconds = parsed.kind === "value" ? Math.ceil(parsed.value / 1000) : 0;
  if (seconds >= 1 && seconds <= 365 * 86_400) return seconds;
  throw new NebulaError("invalid_argument", `invalid --expires "${expires}": use a duration from 1s to 365d, such as 30m, 24h or 7d`);
}

/** Returns the parameters of the commands for a device. The default image is the one of docs/install.md. */
function forDevice(server: ServerUrl, ownCa: boolean, image = WORKER_IMAGE): ForDevice {
  const loopback = isLoopback(server.host) ? server.host : undefined;
  return { server: `${server.protocol}://${formatAddress(server)}`, loopback, ownCa, image };
}

/** A list of enrolment tokens, a line each. @param now wall clock, milliseconds since 1970 */
function enrolmentList(now: number): ListView<EnrolmentToken> {
  return {
    plural: "enrolment tokens",
    header: ["ID", "GROUP", "USES LEFT", "EXPIRES IN", "MADE", "BY"],
    row({ id, deviceGroup, usesLeft, expiresAt, createdAt, createdBy }) {
      const left = expiresAt === undefined ? "" : formatAge(timestampMs(expiresAt) - now);
      return [id, deviceGroup, String(usesLeft), left, `${ageOf(createdAt, now)} ago`, createdBy];
    },
    json: enrolmentJson,
  };
}

function enrolmentJson(token: EnrolmentToken): JsonValue {
  return protoJson(EnrolmentTokenSchema, token);
}

/** A list of devices that have a token of their own, a line each. @param now wall clock, milliseconds since 1970 */
function deviceTokenList(now: number): ListView<DeviceToken> {
  const ago = (time: Timestamp | undefined) => (time === undefined ? "never" : `${ageOf(time, now)} ago`);
  return {
    plural: "devices with a token",
    header: ["DEVICE", "GROUP", "ENROLLED", "ENROLMENT", "ROTATED"],
    row({ deviceId, deviceGroup, enrolledAt, enrolmentId, rotatedAt, rotating }) {
      return [deviceId, deviceGroup, ago(enrolledAt), enrolmentId, rotating ? `${ago(rotatedAt)}, next announced` : ago(rotatedAt)];
    },
    json: (token) => protoJson(DeviceTokenSchema, token),
  };
}
