import type { JsonObject } from "@bufbuild/protobuf";

/** A JSON Schema (2020-12), as OpenAPI 3.1 has it. */
export type JsonSchema = JsonObject;
