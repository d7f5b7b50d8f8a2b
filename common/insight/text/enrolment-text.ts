/** How a machine becomes a device, in words and in commands for its shell. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { EnrolmentToken } from "../../../gen/nebula/v1/access_pb.ts";
import { shellWord } from "../../text/wording.ts";

/** The values that the commands for a device name. */
export type ForDevice = Readonly<{
  /** URL of the server. */
  server: string;
  /** The host of `server`, where only its own machine can reach that. */
  loopback: string | undefined;
  /** Whether the device needs a copy of the CA certificates that the server's certificate is checked with. */
  ownCa: boolean;
  image: string;
}>;

/** The image of a device, as `docs/install.md` builds it. */
export function workerImage(version: string): string {
  return `nebula-worker:${version}`;
}

/** The new token and how a device uses it: the lines of docs/install.md, ready to paste. */
export function enrolmentText(enrolment: EnrolmentToken, token: string, device: ForDevice): string {
  return [
    `${enrolmentTitle(enrolment)}:`,
    `  ${token}`,
    `${deviceNeeds(device)}:`,
    ...dockerCommand(token, device)
      .split("\n")
      .map((line) => `  ${line}`),
    "Or with the npm package:",
    `  ${workerCommand(token, device)}`,
    "",
  ].join("\n");
}

/** `Enrolment token 5b1f8f0c6f2b9a44 for 3 devices of device_group pos, until 2026-01-01T00:00:00Z; shown only once`. */
export function enrolmentTitle({ id, deviceGroup, usesLeft, expiresAt }: EnrolmentToken): string {
  const until = expiresAt === undefined ? "" : `, until ${new Date(timestampMs(expiresAt)).toISOString().replace(/\.\d+Z$/, "Z")}`;
  const devices = usesLeft === 1 ? "1 device" : `${usesLeft} devices`;
  return `Enrolment token ${id} for ${devices} of device_group ${deviceGroup}${until}; shown only once`;
}

/** `On the device, with Docker and the image IMAGE`, and what else there has to be before the commands. */
export function deviceNeeds({ loopback, ownCa, image }: ForDevice): string {
  const copied = ownCa ? ", with a copy of the CA file in the current folder as server.pem" : "";
  const seen = loopback === undefined ? "" : `, and in place of ${loopback} the address of the server as seen from there`;
  return `On the device, with Docker and the image ${image}${copied}${seen}`;
}

/** The command that runs a worker as a container, in four lines. */
export function dockerCommand(token: string, { server, ownCa, image }: ForDevice): string {
  return [
    "docker run -d --name nebula-worker --restart unless-stopped \\",
    `  -v /var/run/docker.sock:/var/run/docker.sock -v nebula-worker:/data${ownCa ? ' -v "$PWD/server.pem:/server.pem:ro"' : ""} \\`,
    `  ${ownCa ? "-e NEBULA_TLS_CA=/server.pem " : ""}-e NEBULA_SERVER=${shellWord(server)} -e NEBULA_ENROLL_TOKEN=${token} \\`,
    `  ${shellWord(image)}`,
  ].join("\n");
}

/** The command that runs a worker of the npm package. */
export function workerCommand(token: string, { server, ownCa }: ForDevice): string {
  return `${ownCa ? "NEBULA_TLS_CA=server.pem " : ""}NEBULA_SERVER=${shellWord(server)} NEBULA_ENROLL_TOKEN=${token} nebula worker`;
}
