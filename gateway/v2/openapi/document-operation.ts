import type { JsonObject } from "@bufbuild/protobuf";
import { StatusService } from "../../../gen/nebula/v1/status_pb.ts";
import type { Operation } from "../operation.ts";
import { openApiDocument } from "./document.ts";
import type { JsonSchema } from "./json-schema.ts";
import { listOf, objectOf } from "./schemas.ts";

const OBJECT: JsonSchema = { type: "object" };
const OBJECTS = listOf(OBJECT);
const DOCUMENT = objectOf({ openapi: { const: "3.1.0" }, info: OBJECT, servers: OBJECTS, security: OBJECTS, paths: OBJECT, components: OBJECT });

/** GET /openapi.json: the document of these operations, and of itself. */
export function documentOperation(operations: readonly Operation[], prefix: string): Operation {
  let document: JsonObject | undefined;
  const own: Operation = {
    method: "GET",
    path: "/openapi.json",
    id: "getOpenApiDocument",
    summary: "This document.",
    answers: [{ status: 200, description: "The OpenAPI document of this API.", schema: DOCUMENT }],
    async handle({ call }) {
      await call(StatusService.method.getStatus, {}); // for who has a login, as all else here
      document ??= openApiDocument([...operations, own], prefix);
      return { status: 200, body: document };
    },
  };
  return own;
}
