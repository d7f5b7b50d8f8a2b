import type { DescMessage, DescMethod, JsonObject, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Exchange } from "../http/exchange.ts";
import type { JsonSchema } from "./openapi/schemas.ts";

/** An answer of REST v2: a status, headers besides the usual ones, a body. */
export type V2Answer = Readonly<{ status: number; body: JsonObject; headers?: Readonly<Record<string, string>> }>;

type UnaryMethod<I extends DescMessage, O extends DescMessage> = DescMethod & { methodKind: "unary"; input: I; output: O };

/** One request to REST v2, as the handler of its operation gets it. */
export type V2Call = Readonly<{
  /** The `{...}` of the path, decoded. */
  parameter(name: string): string;
  query: URLSearchParams;
  /** The JSON object in the body; without a body an empty one. Rejects with a V2Refusal if it is not a JSON object. */
  body(): Promise<JsonObject>;
  /** Calls a manager as the caller. Rejects with NebulaErrors. */
  call<I extends DescMessage, O extends DescMessage>(method: UnaryMethod<I, O>, request: MessageInitShape<I>): Promise<MessageShape<O>>;
}>;

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export type QueryParameter = Readonly<{ name: string; description: string; schema: JsonSchema }>;

/** An answer as the OpenAPI document describes it; several of one status are alternatives. schema undefined: it has no body. */
export type DescribedAnswer = Readonly<{ status: number; description: string; schema: JsonSchema | undefined }>;

/** One operation of REST v2: its path, its answers and its handler. Routing and description use this alone. */
export type Operation = Readonly<{
  method: HttpMethod;
  /** Below /api/v2, a parameter as `{name}`: `/apps/{app_name}/update`. */
  path: string;
  /** Unique among operations. */
  id: string;
  summary: string;
  query?: readonly QueryParameter[];
  /** The schema of the body; undefined: it takes none. */
  request?: JsonSchema;
  /** Refusals included, besides those that every operation has. */
  answers: readonly DescribedAnswer[];
}> &
  Readonly<
    /** Throws a V2Refusal for a request that it refuses itself. */
    | { handle(call: V2Call): Promise<V2Answer> }
    /** Answers by itself, its login and errors included. */
    | { serve(exchange: Exchange, parameter: (name: string) => string): Promise<void> | void }
  >;
