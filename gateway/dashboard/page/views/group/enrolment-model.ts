/** How devices are enrolled from the page: what is asked for, and the lines for a device. Pure. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type ForDevice, workerImage } from "../../../../../common/insight/text/enrolment-text.ts";
import { quote } from "../../../../../common/text/wording.ts";
import type { EnrolmentToken } from "../../../../../gen/nebula/v1/access_pb.ts";
import { commandLine, formatCount } from "../../parts/format.ts";

/** The input of the form. */
export type EnrolmentForm = Readonly<{
  uses: string;
  /** A number of `unit`. */
  lifetime: string;
  unit: Unit;
  /** URL of the server, as devices reach it. */
  server: string;
  /** Whether the certificate of the server is from an authority that devices do not know. */
  ownCa: boolean;
}>;

export type Unit = "m" | "h" | "d";

export const UNIT_WORDS: Readonly<Record<Unit, string>> = { m: "minutes", h: "hours", d: "days" };
const UNIT_SECONDS: Readonly<Record<Unit, number>> = { m: 60, h: 3600, d: 86_400 };
/** As CreateEnrolmentToken has them. */
const MOST_USES = 1_000_000;
const LONGEST_SECONDS = 31_536_000;

/** The defaults of the API. @param origin of the page */
export function enrolmentForm(origin: string): EnrolmentForm {
  return { uses: "1", lifetime: "1", unit: "d", server: origin, ownCa: false };
}

/** The enrolment that the form asks for, or the problem with it. */
export type Enrolment = Readonly<
  | { kind: "valid"; uses: number; expiresInSeconds: number; device: Omit<ForDevice, "image"> }
  | { kind: "wrong"; field: "uses" | "lifetime" | "server"; problem: string }
>;

export function enrolmentOf({ uses, lifetime, unit, server, ownCa }: EnrolmentForm): Enrolment {
  const devices = wholeNumber(uses);
  if (!isWithin(devices, MOST_USES)) {
    return { kind: "wrong", field: "uses", problem: `invalid number of devices ${quote(uses)}: use 1 to ${formatCount(MOST_USES)}` };
  }
  const expiresInSeconds = wholeNumber(lifetime) * UNIT_SECONDS[unit];
  if (!isWithin(expiresInSeconds, LONGEST_SECONDS)) {
    const most = formatCount(Math.floor(LONGEST_SECONDS / UNIT_SECONDS[unit]));
    return {
      kind: "wrong",
      field: "lifetime",
      problem: `invalid lifetime ${quote(`${lifetime} ${UNIT_WORDS[unit]}`)}: use 1 to ${most} ${UNIT_WORDS[unit]}`,
    };
  }
  const url = serverUrl(server);
  if (url === undefined) {
    return {
      kind: "wrong",
      field: "server",
      problem: `invalid address of the server ${quote(server)}: use http:// or https://, its host, and its port`,
    };
  }
  const device = { server: url.text, loopback: url.isLoopback ? url.host : undefined, ownCa: ownCa && url.text.startsWith("https:") };
  return { kind: "valid", uses: devices, expiresInSeconds, device };
}

function isWithin(number: number, most: number): boolean {
  return number >= 1 && number <= most;
}

/** NaN, which is within no bounds, for any other text. */
function wholeNumber(text: string): number {
  return /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
}

function serverUrl(text: string): Readonly<{ text: string; host: string; isLoopback: boolean }> | undefined {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === "" || url.username !== "" || url.password !== "") return undefined;
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return { text: url.origin, host, isLoopback: isLoopbackHost(host) };
}

/** @param host as a URL has it: addresses are in their canonical notation */
function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether devices may need the certificate of an authority. */
export function isOverTls({ server }: EnrolmentForm): boolean {
  return serverUrl(server)?.text.startsWith("https:") ?? false;
}

/** The commands for a device of this server. @param version of the server */
export function forDevice(device: Omit<ForDevice, "image">, version: string): ForDevice {
  return { ...device, image: workerImage(version) };
}

/** The line of nebulactl that makes the same token; where the form is not valid, without what is wrong. @param origin of the page */
export function enrolLine(deviceGroup: string, form: EnrolmentForm, origin: string): string {
  const { uses, lifetime, unit, server } = form;
  const isNumber = (text: string) => !Number.isNaN(wholeNumber(text));
  const url = serverUrl(server);
  return commandLine([
    ...["nebulactl", "devices", "enroll", "--device-group", deviceGroup],
    ...(isNumber(uses) ? ["--uses", String(wholeNumber(uses))] : []),
    ...(isNumber(lifetime) ? ["--expires", `${wholeNumber(lifetime)}${unit}`] : []),
    ...(url === undefined || url.text === origin ? [] : ["--server-for-devices", url.text]),
  ]);
}

/** A valid enrolment token in a list. */
export type EnrolmentRow = Readonly<{ id: string; usesLeft: number; expiresAt: number | undefined; madeAt: number | undefined; by: string }>;

export function enrolmentRow({ id, usesLeft, expiresAt, createdAt, createdBy }: EnrolmentToken): EnrolmentRow {
  const msOf = (time: typeof expiresAt) => (time === undefined ? undefined : timestampMs(time));
  return { id, usesLeft, expiresAt: msOf(expiresAt), madeAt: msOf(createdAt), by: createdBy };
}
