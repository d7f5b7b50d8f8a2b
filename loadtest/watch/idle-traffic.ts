import { Fleet } from "../client/fleet.ts";
import type { Traffic } from "../client/fleet-protocol.ts";
import { alignedRows } from "../measure/table.ts";
import type { Processors } from "../processes/processors.ts";
import { openNebula } from "../subjects/nebula.ts";

export type IdleTraffic = Readonly<{
  /** Bytes on the wire, TCP and IP headers included, of one ping and its answer, of one report and its answer, of one connection with a watch whose config is unchanged. */
  pingBytes: number;
  reportBytes: number;
  reconnectBytes: number;
  /** Packets of the same. */
  pingPackets: number;
  reportPackets: number;
  reconnectPackets: number;
}>;

/** IPv4 (20) and TCP (20, and 12 of time stamps), of every packet. */
const PACKET_HEADER_BYTES = 52;
/** A SYN and its answer carry 8 bytes of options more. */
const HANDSHAKE_OPTION_BYTES = 16;
/** The end of the connection before: FIN, FIN with an acknowledgement, acknowledgement. They are not in the kernel's counters of the new one. */
const CLOSE_PACKETS = 3;

const MONTH_MS = 30 * 24 * 3_600_000;
/** NEBULA_REPORT_INTERVAL's default: a device where nothing changes reports twice a day. */
export const REPORT_EVERY_MS = 12 * 3_600_000;
/** A link that drops once a day is taken for usual. */
export const RECONNECT_EVERY_MS = 24 * 3_600_000;

export type TrafficOptions = Readonly<{ pings: number; everyMs: number; processors: Processors; signal: AbortSignal }>;

/** Counts bytes and packets of pings, of a report and of a reconnect, on one connection to a manager of its own. */
export async function measureIdleTraffic({ pings, everyMs, processors, signal }: TrafficOptions): Promise<IdleTraffic> {
  await using subject = await openNebula({ payloadBytes: 2048, processors: undefined, signal });
  await using fleet = new Fleet({ devices: 1, processors, signal });
  await fleet.connect(await subject.target());
  const { ping, report, reconnect } = await fleet.measureTraffic(pings, everyMs);
  const reconnectPackets = reconnect.packets + CLOSE_PACKETS;
  return {
    pingBytes: onTheWire(ping),
    reportBytes: onTheWire(report),
    reconnectBytes: onTheWire({ bytes: reconnect.bytes + HANDSHAKE_OPTION_BYTES, packets: reconnectPackets }),
    pingPackets: ping.packets,
    reportPackets: report.packets,
    reconnectPackets,
  };
}

function onTheWire({ bytes, packets }: Traffic): number {
  return bytes + packets * PACKET_HEADER_BYTES;
}

/** Bytes of a month of 30 days of a device that stays connected while nothing changes, but for one reconnect a day. */
export function monthBytes({ pingBytes, reportBytes, reconnectBytes }: IdleTraffic, keepaliveMs: number): number {
  return (MONTH_MS / keepaliveMs) * pingBytes + (MONTH_MS / REPORT_EVERY_MS) * reportBytes + (MONTH_MS / RECONNECT_EVERY_MS) * reconnectBytes;
}

/** The counted traffic, and what a month is made of, as lines of text. */
export function idleTrafficLines(traffic: IdleTraffic): string[] {
  const times = (everyMs: number) => String(Math.round(MONTH_MS / everyMs));
  const month = (keepaliveMinutes: number) => {
    const keepaliveMs = keepaliveMinutes * 60_000;
    const parts = `${times(keepaliveMs)} pings, ${times(REPORT_EVERY_MS)} reports, ${times(RECONNECT_EVERY_MS)} reconnects`;
    return [`a month, NEBULA_KEEPALIVE=${keepaliveMinutes}m`, `${(monthBytes(traffic, keepaliveMs) / 1e6).toFixed(2)} MB`, `= ${parts}`];
  };
  const packets = (count: number) => `in ${count.toFixed(1)} packets`;
  return [
    "an idle device that stays connected, both directions, clear text, with TCP and IP headers:",
    ...alignedRows([
      ["one ping and its answer", `${traffic.pingBytes.toFixed(0)} bytes`, packets(traffic.pingPackets)],
      ["one report and its answer", `${traffic.reportBytes.toFixed(0)} bytes`, packets(traffic.reportPackets)],
      ["one reconnect, config unchanged", `${traffic.reconnectBytes.toFixed(0)} bytes`, packets(traffic.reconnectPackets)],
      month(5),
      month(12),
    ]),
  ];
}
