import type { Metadata } from "@grpc/grpc-js";
import type { CallHeaders } from "../access/authenticate.ts";

/** Headers of a gRPC call as the rest of the manager reads them: text, the first value of each name. */
export function callHeaders(metadata: Metadata): CallHeaders {
  return {
    header(name) {
      const [value] = metadata.get(name);
      return typeof value === "string" ? value : undefined;
    },
  };
}
