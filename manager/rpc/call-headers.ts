import type { Metadata } from "@grpc/grpc-js";
import type { CallHeaders } from "../access/authenticate.ts";

/** Headers of a gRPC call as the rest of the manager reads them: text, the first value of each name. */
export function callHeaders(metadata: Metadata): CallHeaders {
  return new MetadataHeaders(metadata);
}

class MetadataHeaders implements CallHeaders {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  header(name: string): string | undefined {
    const [value] = this.#metadata.get(name);
    return typeof value === "string" ? value : undefined;
  }
}

/** Lets go of a call's headers, the credential among them, which grpc-js would keep as long as the call: for a watch that is months, and 600 bytes per device. */
export function forgetHeaders(metadata: Metadata): void {
  const values: unknown = Reflect.get(metadata, "internalRepr");
  if (values instanceof Map) values.clear();
  // A grpc-js that keeps them elsewhere: its own way copies and checks each name.
  else for (const name of Object.keys(metadata.getMap())) metadata.remove(name);
}
