/** The commands of the bench to one process of its fleet. Devices are numbers, their own within the whole fleet. */
export type FleetCommand =
  /** Connect devices, besides those that are connected already; at most `concurrency` of them wait for their first message at a time. */
  | { kind: "connect"; target: FleetTarget; firstDevice: number; count: number; concurrency: number }
  /** Wait for one message on every device that reads; with `reports` each answers it with a report. */
  | { kind: "arm"; reports: ReportOptions | undefined }
  /** Drop this many devices and connect them again, at once. */
  | { kind: "reconnect"; count: number }
  /** Have this many devices stop reading. */
  | { kind: "stick"; count: number }
  /** Have every device that reads ping, and wait for the answers: the server has heard of all of them. */
  | { kind: "ping" }
  /** Send this many pings on one device, `everyMs` apart, then one report, then connect it again; answer the bytes. */
  | { kind: "measure-traffic"; pings: number; everyMs: number };

export type ReportOptions = Readonly<{
  /** The apps that a report names; the first is the one that is pushed. */
  apps: readonly string[];
  /** The revision of the first app that the report says is applied; undefined: the number of the push. */
  revision: bigint | undefined;
}>;

export type FleetTarget = Readonly<{
  protocol: "grpc" | "nats";
  port: number;
  /** Headers of a grpc call. */
  headers: Readonly<Record<string, string>>;
  /** Each device logs in with the token that it was enrolled with, in place of the authorization of `headers`. */
  enrolled?: boolean;
  /** Devices report on the streams of their watches (WatchAndReport), in place of calls of their own. */
  reportsOnWatch?: boolean;
  deviceGroup: string;
  /** Etag of the config of now. Only the reconnect whose bytes are counted names it; the others hold nothing, and get the config. */
  etag: string;
}>;

/** The answers of the process. Times are `sharedNow`, or lengths of time, milliseconds. */
export type FleetAnswer =
  | { kind: "connected"; tookMs: number }
  | { kind: "armed" }
  | { kind: "arrived"; at: Float64Array }
  | { kind: "reported"; at: number }
  | { kind: "reconnected"; tookMs: number }
  | { kind: "stuck" }
  | { kind: "ponged" }
  | { kind: "traffic"; ping: Traffic; report: Traffic; reconnect: Traffic }
  | { kind: "failed"; reason: string };

/** The traffic on the wire in both directions: bytes of TCP's payload, and packets. */
export type Traffic = Readonly<{ bytes: number; packets: number }>;

const clockOffset = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** The monotonic clock that all processes of the machine share, milliseconds. */
export function sharedNow(): number {
  return performance.now() + clockOffset;
}
