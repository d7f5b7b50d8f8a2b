import type { JsonObject } from "@bufbuild/protobuf";
import { VERSION } from "../../../common/version.ts";
import { StatusService } from "../../../gen/nebula/v1/status_pb.ts";
import type { DescribedAnswer, Operation } from "../operation.ts";
import { OBJECT_SCHEMAS } from "./object-schemas.ts";
import { type JsonSchema, listOf, named, objectOf, TEXT } from "./schemas.ts";

/** The answers that every operation may give besides its own. */
const ALWAYS: readonly DescribedAnswer[] = [
  { status: 400, description: "The request can't be read.", schema: named("Failure") },
  { status: 403, description: "The caller may not do this.", schema: named("AccessDenied") },
  { status: 413, description: "The body is too large.", schema: named("Failure") },
  { status: 429, description: "Too many failed logins, or too much at once; Retry-After says when to call again.", schema: named("Failure") },
  { status: 503, description: "No manager answers; Retry-After says when to call again.", schema: named("Failure") },
];
const WITH_BODY: DescribedAnswer = { status: 400, description: "Something is wrong with a field.", schema: named("InvalidParameters") };

/** The OpenAPI 3.1 document of REST v2, made from its operations. */
export function openApiDocument(operations: readonly Operation[], prefix: string): JsonObject {
  const paths: Record<string, JsonObject> = {};
  for (const operation of operations) {
    const path = `${prefix}${operation.path}`;
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describedOperation(operation) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Nebula REST API v2",
      version: VERSION,
      description: "The API that clients and devices of the original Nebula speak. New clients better use the API at /nebula.v1.<service>/<method>.",
    },
    servers: [{ url: "/" }],
    security: [{ basic: [] }, { bearer: [] }],
    paths,
    components: {
      schemas: { ...OBJECT_SCHEMAS },
      securitySchemes: {
        basic: { type: "http", scheme: "basic" },
        bearer: { type: "http", scheme: "bearer", description: "A token as it is, or its base64." },
      },
    },
  };
}

function describedOperation(operation: Operation): JsonObject {
  const { id, summary, path, query = [], request } = operation;
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]): JsonObject => ({ name, in: "path", required: true, schema: TEXT }));
  const inQuery = query.map(({ name, description, schema }): JsonObject => ({ name, in: "query", description, schema }));
  const parameters = [...inPath, ...inQuery];
  return {
    operationId: id,
    summary,
    tags: [path.split("/")[1] ?? ""],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(request === undefined ? {} : { requestBody: { content: { "application/json": { schema: request } } } }),
    responses: responsesOf(operation),
  };
}

function responsesOf({ answers, request }: Operation): JsonObject {
  const all = [...answers, ...(request === undefined ? [] : [WITH_BODY]), ...ALWAYS];
  const statuses = [...new Set(all.map(({ status }) => status))].toSorted((a, b) => a - b);
  return {
    ...Object.fromEntries(statuses.map((status) => [String(status), responseOf(all.filter((answer) => answer.status === status))])),
    401: {
      description: "The login is missing or wrong.",
      headers: { "WWW-Authenticate": { schema: TEXT } },
      content: { "text/html": { schema: TEXT } },
    },
    default: { description: "Something else went wrong.", content: { "application/json": { schema: named("Failure") } } },
  };
}

function responseOf(answers: readonly DescribedAnswer[]): JsonObject {
  const schemas = answers.flatMap(({ schema }): JsonSchema[] => (schema === undefined ? [] : [schema]));
  const [first, ...more] = schemas;
  return {
    description: [...new Set(answers.map(({ description }) => description))].join(" Or: "),
    ...(first === undefined ? {} : { content: { "application/json": { schema: more.length === 0 ? first : { anyOf: schemas } } } }),
  };
}

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
      await call(StatusService.method.getStatus, {}); // for callers with a login, as all other operations
      document ??= openApiDocument([...operations, own], prefix);
      return { status: 200, body: document };
    },
  };
  return own;
}
