import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

const EXAMPLE = "/dev/ttyUSB0, /dev/ttyUSB0:/dev/tty1 or /dev/ttyUSB0:/dev/ttyUSB0:rw would do";

export function validateDevices(devices: readonly string[]): Violation[] {
  return devices.flatMap((device, index) => {
    const fault = faultOfDevice(device);
    return fault === undefined ? [] : [{ field: `devices[${index}]`, description: `${quote(device)} is no device: ${fault}; ${EXAMPLE}` }];
  });
}

function faultOfDevice(device: string): string | undefined {
  const [hostPath = "", containerPath, permissions, ...more] = device.split(":");
  if (more.length > 0) return "it has too many parts";
  if (!hostPath.startsWith("/")) return "the host's path has to be absolute";
  if (containerPath !== undefined && !containerPath.startsWith("/")) return `the path in the container, ${quote(containerPath)}, has to be absolute`;
  if (permissions !== undefined && !arePermissions(permissions))
    return `${quote(permissions)} are no permissions; they are of r, w and m, each once at most`;
  return undefined;
}

function arePermissions(text: string): boolean {
  return /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length;
}
