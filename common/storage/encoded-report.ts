import type { DescField } from "@bufbuild/protobuf";
import { type Device, DeviceSchema } from "../../gen/nebula/v1/device_pb.ts";
import { type Report, ReportSchema } from "../../gen/nebula/v1/report_pb.ts";
import { writeMessage } from "../protobuf/binary-message.ts";
import { headLength, putHead } from "../protobuf/encoded-field.ts";
import { SideNotes } from "../side-notes.ts";

/** The bytes of reports that were received encoded, as long as the reports are in use. */
const known = new SideNotes<Report, Uint8Array>("encoded");

/** Notes the bytes of a report, which is changed no more. */
export function rememberEncoded(report: Report, bytes: Uint8Array): void {
  known.set(report, bytes);
}

/** Returns a report in protobuf's wire format: the bytes that it was received as, where they are known. */
export function encodedReport(report: Report): Uint8Array {
  return known.get(report) ?? writeMessage(ReportSchema, report);
}

/** Returns a device in protobuf's wire format; its report is not encoded again where its bytes are known. */
export function encodedDevice(device: Device): Uint8Array {
  const { report } = device;
  const body = report === undefined ? undefined : known.get(report);
  if (body === undefined) return writeMessage(DeviceSchema, device);
  const rest: Device = { ...device, report: undefined };
  return withMessageField(writeMessage(DeviceSchema, rest), DeviceSchema.field.report, body);
}

/** Returns an encoded message with one more field, a message that is encoded, too. */
function withMessageField(message: Uint8Array, { number }: Pick<DescField, "number">, body: Uint8Array): Uint8Array {
  const encoded = Buffer.allocUnsafe(message.length + headLength(number, body.length) + body.length);
  encoded.set(message);
  encoded.set(body, putHead(encoded, message.length, number, body.length));
  return encoded;
}
