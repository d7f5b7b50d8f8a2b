import { fromBinary } from "@bufbuild/protobuf";
import { isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { AppSchema, AppService } from "../../gen/nebula/v1/app_pb.ts";
import type { Row } from "../harness/linearizability.ts";

/** The env variable of an app that names the write which made its revision. */
const WRITER = "WRITER";

export type Version = Readonly<{ revision: bigint; writer: string }>;

export type ChangeOutcome = Readonly<{ kind: "written"; revision: bigint } | { kind: "refused" } | { kind: "unknown"; reason: string }>;

/** A way into the API: a shard by gRPC, or a gateway by JSON. Calls that end without an answer within `LIMIT_MS` have an unknown outcome. */
export type AppDoor = Readonly<{
  name: string;
  /** Rejects where there is no answer. */
  read(app: string): Promise<Version>;
  /** Puts the writer into the app if it is at this revision. Never rejects. */
  change(app: string, expected: bigint, writer: string): Promise<ChangeOutcome>;
}>;

const LIMIT_MS = 8000;

type Headers = Readonly<Record<string, string>>;

export function grpcDoor(name: string, channel: GrpcChannel, headers: Headers): AppDoor {
  const options = { headers, timeoutMs: LIMIT_MS };
  return {
    name,
    async read(app) {
      const answer = await channel.unary(AppService.method.getApp, { name: app }, options);
      return { revision: answer.app?.revision ?? 0n, writer: answer.app?.envVars[WRITER] ?? "" };
    },
    async change(app, expected, writer) {
      const request = { app: { name: app, envVars: { [WRITER]: writer } }, updateFields: [`env_vars.${WRITER}`], ifRevision: expected };
      try {
        const answer = await channel.unary(AppService.method.updateApp, request, options);
        return { kind: "written", revision: answer.app?.revision ?? 0n };
      } catch (error) {
        return isNebulaError(error, "conflict") ? { kind: "refused" } : { kind: "unknown", reason: messageOf(error) };
      }
    },
  };
}

/** @param url of a gateway, such as http://127.0.0.1:8080 */
export function httpDoor(name: string, url: string, headers: Headers): AppDoor {
  const call = async (method: string, body: object) => {
    const response = await fetch(`${url}/nebula.v1.AppService/${method}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const answer = await response.json();
    return { ok: response.ok, answer };
  };
  const versionIn = (answer: { app: { revision: string; env_vars: Readonly<Record<string, string>> } }): Version => ({
    revision: BigInt(answer.app.revision),
    writer: answer.app.env_vars[WRITER] ?? "",
  });
  return {
    name,
    async read(app) {
      const { ok, answer } = await call("GetApp", { name: app });
      if (!ok) throw new Error(`${answer.code}: ${answer.message}`);
      return versionIn(answer);
    },
    async change(app, expected, writer) {
      const request = { app: { name: app, env_vars: { [WRITER]: writer } }, update_fields: [`env_vars.${WRITER}`], if_revision: String(expected) };
      try {
        const { ok, answer } = await call("UpdateApp", request);
        if (ok) return { kind: "written", revision: versionIn(answer).revision };
        return answer.code === "aborted" ? { kind: "refused" } : { kind: "unknown", reason: `${answer.code}: ${answer.message}` };
      } catch (error) {
        return { kind: "unknown", reason: messageOf(error) };
      }
    },
  };
}

/** The whole history of an app with its writers, as the store has it; the create's writer is "". */
export async function historyOf(store: Pick<ConfigStore, "history">, app: string): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let before: bigint | undefined;
  do {
    const page = await store.history({ kind: "app", name: app }, { limit: 1000, ...(before === undefined ? {} : { before }) });
    rows.push(...page.items.map(({ revision, body }) => ({ revision, writer: fromBinary(AppSchema, body).envVars[WRITER] ?? "" })));
    before = page.next;
  } while (before !== undefined);
  return rows;
}
