import { ChannelCredentials } from "@grpc/grpc-js";
import { authorizationOf } from "../../common/access/authorization.ts";
import { tokenHash } from "../../common/access/tokens.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { tlsChannel } from "../../common/rpc/tls-channel.ts";
import type { ServerUrl } from "../../common/settings/settings.ts";
import type { ClientTls } from "../../common/tls/client-tls.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import { callServer, isSecure, type ServerCallOptions } from "../connection/server-call.ts";

/** The calls of a device to the server about its own tokens. All reject with NebulaErrors. */
export interface TokenServer {
  /** Comes in: from then on the server knows the device by `secret`. Answers the device_group. Again with the same secret it changes nothing. */
  enroll(enrolToken: string, deviceId: string, secret: string, signal: AbortSignal): Promise<string>;
  /** Announces the token that follows `token`, which ends at the first use of `next`. */
  announce(token: string, next: string, signal: AbortSignal): Promise<void>;
  /** Uses a token: false, the server does not know it. */
  isKnown(token: string, device: Readonly<{ deviceId: string; deviceGroup: string }>, signal: AbortSignal): Promise<boolean>;
}

export type TokenServerOptions = Readonly<{ server: ServerUrl; tls?: () => ClientTls; limitMs?: number }>;

/** The server that the settings name. Of a secret that the device made itself only the hash travels, but for the use of it as a token. */
export function createTokenServer({ server, tls = () => ({}), limitMs = 10_000 }: TokenServerOptions): TokenServer {
  /** These calls are rare: each has a connection of its own, which goes with it. */
  async function call<T>(token: string, signal: AbortSignal, run: (options: ServerCallOptions) => Promise<T>): Promise<T> {
    let channel: GrpcChannel | undefined;
    const channelTo = (address: string): GrpcChannel => {
      const { credentials, options } = isSecure(server)
        ? tlsChannel(address, tls())
        : { credentials: ChannelCredentials.createInsecure(), options: {} };
      channel = new GrpcChannel(address, credentials, options);
      return channel;
    };
    try {
      return await run({ server, authorization: authorizationOf({ kind: "token", token }), channelTo, tls: tls(), limitMs, signal });
    } finally {
      channel?.[Symbol.dispose]();
    }
  }

  return {
    async enroll(enrolToken, deviceId, secret, signal) {
      const request = { deviceId, tokenHash: hashBytes(secret) };
      const { deviceGroup } = await call(enrolToken, signal, (options) => callServer(AccessService.method.enrollDevice, request, options));
      return deviceGroup;
    },
    async announce(token, next, signal) {
      await call(token, signal, (options) => callServer(AccessService.method.rotateDeviceToken, { nextTokenHash: hashBytes(next) }, options));
    },
    async isKnown(token, { deviceId, deviceGroup }, signal) {
      try {
        await call(token, signal, (options) => callServer(ShardService.method.getShardMap, { deviceId, deviceGroup }, options));
        return true;
      } catch (error) {
        if (isNebulaError(error, "unauthenticated")) return false;
        throw error;
      }
    },
  };
}

function hashBytes(secret: string): Uint8Array {
  return Buffer.from(tokenHash(secret), "hex");
}
