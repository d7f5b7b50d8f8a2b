import { type DescFile, type DescService, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { codeOf } from "../../../common/errors/codes.ts";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import type { ServerReflectionRequest, ServerReflectionResponseSchema } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** The answers of reflection about these services. */
export class ReflectionIndex {
  readonly #services: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #fileOfSymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services.map(({ typeName }) => typeName).sort();
    for (const service of services) this.#addFile(service.file);
    this.#addFile(file_google_rpc_error_details); // no service names it, but errors carry it: a client that reads it shows every violation
  }

  answer({ messageRequest: request }: Pick<ServerReflectionRequest, "messageRequest">): Answer {
    switch (request.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services.map((name) => ({ name })) } };
      case "fileByFilename":
        return this.#fileAnswer(this.#files.get(request.value), `there is no file ${request.value}`);
      case "fileContainingSymbol":
        return this.#fileAnswer(this.#fileOfSymbol.get(request.value), `there is no symbol ${request.value}`);
      case "fileContainingExtension":
        return notFound(`there are no extensions of ${request.value.containingType}`);
      case "allExtensionNumbersOfType":
        return this.#fileOfSymbol.has(request.value)
          ? { case: "allExtensionNumbersResponse", value: { baseTypeName: request.value, extensionNumber: [] } }
          : notFound(`there is no type ${request.value}`);
      case undefined:
        return {
          case: "errorResponse",
          value: { errorCode: codeOf("invalid_argument"), errorMessage: "message_request: is empty; ask for a file, a symbol or the services" },
        };
    }
  }

  /** A file and all it imports, so that a client asks once. */
  #fileAnswer(file: DescFile | undefined, missing: string): Answer {
    if (file === undefined) return notFound(missing);
    const files = new Set<DescFile>();
    collect(file, files);
    return {
      case: "fileDescriptorResponse",
      value: { fileDescriptorProto: [...files].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) },
    };
  }

  #addFile(file: DescFile): void {
    const { proto } = file;
    if (this.#files.has(proto.name)) return;
    this.#files.set(proto.name, file);
    const prefix = proto.package === "" ? "" : `${proto.package}.`;
    for (const service of proto.service) {
      this.#fileOfSymbol.set(prefix + service.name, file);
      for (const method of service.method) this.#fileOfSymbol.set(`${prefix}${service.name}.${method.name}`, file);
    }
    for (const { name } of proto.enumType) this.#fileOfSymbol.set(prefix + name, file);
    for (const message of proto.messageType) this.#addMessage(message, prefix, file);
    for (const dependency of file.dependencies) this.#addFile(dependency);
  }

  /** From the proto, not from protobuf-es's view of it: that leaves the entry messages of maps out. */
  #addMessage(message: DescriptorProto, prefix: string, file: DescFile): void {
    const name = prefix + message.name;
    this.#fileOfSymbol.set(name, file);
    for (const nested of message.enumType) this.#fileOfSymbol.set(`${name}.${nested.name}`, file);
    for (const nested of message.nestedType) this.#addMessage(nested, `${name}.`, file);
  }
}

function notFound(errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: codeOf("not_found"), errorMessage } };
}

function collect(file: DescFile, into: Set<DescFile>): void {
  if (into.has(file)) return;
  into.add(file);
  for (const dependency of file.dependencies) collect(dependency, into);
}
