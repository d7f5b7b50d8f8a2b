import { create, type DescMessage, type DescMethod, type DescService, fromBinary, isMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";
import { SideNotes } from "../side-notes.ts";
import { hasTooManyValues, TOO_MANY_VALUES } from "./count-values.ts";

/** A message that can't be read: the first interceptor answers INVALID_ARGUMENT. If the deserialiser threw, grpc-js would answer INTERNAL. */
export class Undecodable {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** gRPC path of a method: /nebula.v1.AppService/GetApp */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** Bytes that are encoded already pass as they are: one encoding serves every stream of a group. */
function serializer(schema: DescMessage): (value: unknown) => Buffer {
  return (value) => {
    const bytes = value instanceof Uint8Array ? value : toBinary(schema, isMessage(value, schema) ? value : create(schema));
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

/** The bytes that requests were decoded from, as long as they are in use. */
const received = new SideNotes<object, Uint8Array>("received");

/** Returns the bytes that a request was decoded from; undefined for a message that was not received. */
export function receivedBytes(request: object): Uint8Array | undefined {
  return received.get(request);
}

/** Decodes a message, or throws. A server has a faster one than protobuf-es (common/protobuf/), whose code a device does without. */
export type Decode = <Desc extends DescMessage>(schema: Desc, bytes: Uint8Array) => MessageShape<Desc>;

/** Decodes a request, whose bytes it has from then on (`receivedBytes`). */
export function readRequest<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array, decode: Decode): MessageShape<Desc> | Undecodable {
  if (hasTooManyValues(schema, bytes)) return new Undecodable(TOO_MANY_VALUES);
  const request = read(schema, bytes, decode);
  received.set(request, bytes);
  return request;
}

function read<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array, decode: Decode): MessageShape<Desc> | Undecodable {
  try {
    return decode(schema, bytes);
  } catch (error) {
    return new Undecodable(error instanceof Error ? error.message : String(error));
  }
}

/** A method as grpc-js wants it. @param decode of its requests */
export function methodDefinition(method: DescMethod, decode: Decode = fromBinary): MethodDefinition<unknown, unknown> {
  return {
    path: pathOf(method),
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: serializer(method.input),
    requestDeserialize: (bytes) => readRequest(method.input, bytes, decode),
    responseSerialize: serializer(method.output),
    responseDeserialize: (bytes) => read(method.output, bytes, fromBinary),
    originalName: method.localName,
  };
}

/** A generated service as grpc-js wants it. @param decode of its requests */
export function serviceDefinition(service: DescService, decode: Decode = fromBinary): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method, decode)]));
}

/** Narrows what a deserialiser yielded. */
export function decoded<Desc extends DescMessage>(schema: Desc, value: unknown): MessageShape<Desc> | Undecodable {
  return isMessage(value, schema) ? value : value instanceof Undecodable ? value : new Undecodable(`not a ${schema.typeName}`);
}
