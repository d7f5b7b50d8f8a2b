import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { create, createFileRegistry, type DescFile, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { codeOf } from "../../../common/errors/codes.ts";
import { decoded, methodDefinition, Undecodable } from "../../../common/rpc/service-definition.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { ADMIN, startManagerRig } from "../../testing/manager-rig.ts";

type Request = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"]>;

/** Asks questions on one stream; rejects with the status's code. */
function ask(
  address: string,
  path: string,
  requests: Request[],
  headers: Record<string, string> = ADMIN,
): Promise<ServerReflectionResponse["messageResponse"][]> {
  const client = new Client(address, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const { requestSerialize, responseDeserialize } = methodDefinition(ServerReflection.method.serverReflectionInfo);
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const answers: ServerReflectionResponse["messageResponse"][] = [];
  return new Promise<ServerReflectionResponse["messageResponse"][]>((resolve, reject) => {
    stream.on("data", (value: unknown) => {
      const response = decoded(ServerReflectionResponseSchema, value);
      if (response instanceof Undecodable) return reject(new Error(response.reason));
      answers.push(response.messageResponse);
      if (answers.length === requests.length) stream.end();
    });
    stream.on("end", () => resolve(answers));
    stream.on("error", reject);
    for (const messageRequest of requests) stream.write(create(ServerReflectionRequestSchema, { messageRequest }));
  }).finally(() => client.close());
}

const PATH = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const ALPHA_PATH = `/${Alpha.typeName}/ServerReflectionInfo`;

describe("reflection", () => {
  for (const path of [PATH, ALPHA_PATH]) {
    it(`reflection gives a client without any protos all it needs (${path.split("/")[1]})`, async () => {
      await using rig = await startManagerRig();
      const [services] = await ask(rig.manager.address, path, [{ case: "listServices", value: "" }]);
      assert.ok(services?.case === "listServicesResponse");
      const names = services.value.service.map(({ name }) => name);
      for (const name of ["nebula.v1.AppService", "nebula.v1.ConfigService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]) {
        assert.ok(names.includes(name), name);
      }
      const answers = await ask(
        rig.manager.address,
        path,
        names.map((value) => ({ case: "fileContainingSymbol", value })),
      );
      for (const [index, answer] of answers.entries()) {
        assert.ok(answer?.case === "fileDescriptorResponse", names[index] ?? "");
        const files = answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
        const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(files) }));
        assert.ok(registry.getService(names[index] ?? "") !== undefined, "its file and all imports are there");
      }
    });
  }

  it("reflection finds messages, nested ones, methods and files, and refuses unknown names", async () => {
    await using rig = await startManagerRig();
    const known: Request[] = [
      { case: "fileContainingSymbol", value: "nebula.v1.App" },
      { case: "fileContainingSymbol", value: "nebula.v1.App.EnvVarsEntry" },
      { case: "fileContainingSymbol", value: "nebula.v1.AppService.GetApp" },
      { case: "fileContainingSymbol", value: "nebula.v1.TargetState" },
      { case: "fileByFilename", value: "nebula/v1/app.proto" },
      { case: "fileByFilename", value: "google/protobuf/timestamp.proto" },
    ];
    const unknown: Request[] = [
      { case: "fileContainingSymbol", value: "nebula.v1.Nothing" },
      { case: "fileByFilename", value: "../../etc/passwd" },
      { case: "fileContainingExtension", value: { containingType: "nebula.v1.App", extensionNumber: 5 } },
      { case: undefined },
    ];
    const answers = await ask(rig.manager.address, PATH, [...known, ...unknown]);
    const kinds = answers.map((answer) => answer.case);
    assert.deepEqual(kinds, [...known.map(() => "fileDescriptorResponse"), ...unknown.map(() => "errorResponse")]);
  });

  it("reflection needs a credential", async () => {
    await using rig = await startManagerRig();
    await assert.rejects(ask(rig.manager.address, PATH, [{ case: "listServices", value: "" }], {}), { code: codeOf("unauthenticated") });
  });

  it("reflection is enough for grpcurl", async function () {
    const grpcurl = process.env.GRPCURL ?? "grpcurl";
    const run = promisify(execFile);
    const there = await run(grpcurl, ["-version"]).then(
      () => true,
      () => false,
    );
    if (!there) {
      assert.notEqual(process.env.CI, "true", "no grpcurl: set GRPCURL");
      console.log("    (skipped: no grpcurl)");
      this.skip();
    }
    await using rig = await startManagerRig();
    const common = ["-plaintext", "-H", `authorization: ${ADMIN.authorization}`];
    const call = async (...args: string[]) => (await run(grpcurl, [...common, ...args])).stdout;
    const data = JSON.stringify({ app: { name: "web", docker_image: "nginx:1" } });
    await call("-d", data, rig.manager.address, "nebula.v1.AppService/CreateApp");
    assert.match(await call(rig.manager.address, "nebula.v1.AppService/ListApps"), /"nginx:1"/);
    assert.match(await call(rig.manager.address, "describe", "nebula.v1.App"), /map<string, string> env_vars = 7/);
  });
});

/** Files after what they import, as a registry takes them. */
function inOrder(files: DescFile["proto"][]): DescFile["proto"][] {
  const placed: DescFile["proto"][] = [];
  const place = (file: DescFile["proto"]) => {
    if (placed.includes(file)) return;
    for (const name of file.dependency) {
      const dependency = files.find((other) => other.name === name);
      assert.ok(dependency !== undefined, `${file.name} imports ${name}`);
      place(dependency);
    }
    placed.push(file);
  };
  files.forEach(place);
  return placed;
}
