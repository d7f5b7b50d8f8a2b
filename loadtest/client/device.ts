/** One device under load: a connection, a subscription on it, and what it costs in bytes. */
export interface Device {
  readonly index: number;
  /** Its own port, once connected. */
  readonly localPort: number | undefined;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  ping(): void;
  /** Stops reading: a device that is stuck. */
  pause(): void;
  close(): void;
}

export type DeviceTarget = Readonly<{
  port: number;
  /** Source address, so that one machine has ports enough: 127.0.0.x */
  localAddress: string;
}>;

export interface DeviceListener {
  /** A piece of a message, for a listener that wants the bytes; they are good until the call returns. */
  onBody?(piece: Uint8Array): void;
  /** A push arrived, or the first word after subscribing. */
  onMessage(device: Device): void;
  /** A call beside the watch was answered; `ok` is false where it was refused. */
  onAnswer(device: Device, ok: boolean): void;
  onPong(device: Device): void;
  /** The server says that the connection takes no new calls; without this the device counts as lost then. */
  onGoaway?(device: Device): void;
  /** The connection, or the subscription, is over without our doing. */
  onLost(device: Device, reason: string): void;
}
