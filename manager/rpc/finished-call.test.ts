import { strict as assert } from "node:assert";
import { EventEmitter, once } from "node:events";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import { credentials, Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js";
import { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { serviceDefinition } from "../../common/rpc/service-definition.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { letGoOfBeginning, letGoOfCall, letGoOfListeners } from "./finished-call.ts";

describe("a finished call", () => {
  it("a call that was answered leads to nothing that it held, and its answer arrives", async () => {
    const calls: ServerUnaryCall<unknown, unknown>[] = [];
    const server = new Server({ "grpc.enable_channelz": 0 });
    server.addService(serviceDefinition(StatusService), {
      getStatus: (call: ServerUnaryCall<unknown, unknown>, callback: (error: null, answer: Uint8Array) => void) => {
        calls.push(call);
        call.on("cancelled", () => {});
        callback(null, new Uint8Array());
        letGoOfCall(call);
      },
    });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => (error ? reject(error) : resolve(bound))),
    );
    using channel = new GrpcChannel(`127.0.0.1:${port}`, credentials.createInsecure());
    for (let at = 0; at < 3; at++) assert.equal((await channel.unary(StatusService.method.getStatus, {}, {})).version, "");
    await eventually(() => calls.length === 3 && calls.every(({ cancelled }) => cancelled)); // grpc-js has ended each of them
    for (const call of calls)
      assert.deepEqual([call.request, call.metadata, Reflect.get(call, "call"), call.eventNames()], [undefined, undefined, undefined, []]);
    await new Promise<void>((resolve, reject) => server.tryShutdown((error) => (error ? reject(error) : resolve())));
  });

  it("a stream whose call goes on keeps none of its sent headers, and its listeners without what once makes of them", async () => {
    const server = createServer();
    const started = once(server, "stream");
    await once(server.listen(0, "127.0.0.1"), "listening");
    const address = server.address();
    const client = connect(`http://127.0.0.1:${typeof address === "object" ? address?.port : address}`);
    client
      .request({ ":path": "/" })
      .on("error", () => {})
      .resume();
    const stream: ServerHttp2Stream = (await started)[0];
    const closed: string[] = [];
    const second = () => void closed.push("second");
    stream.once("close", () => closed.push("first"));
    stream.once("close", second);
    stream.once("error", () => {});
    stream.respond({ ":status": 200, "x-of-the-beginning": "1" });
    assert.equal(stream.sentHeaders?.["x-of-the-beginning"], "1");
    letGoOfBeginning(stream);
    assert.equal(stream.sentHeaders, undefined);
    assert.deepEqual(stream.rawListeners("close"), stream.listeners("close"));
    assert.equal(stream.rawListeners("close")[1], second);
    assert.deepEqual(stream.rawListeners("error"), stream.listeners("error"));
    const gone = new Promise<void>((resolve) => stream.on("close", resolve));
    stream.destroy(new Error("broken"));
    await gone;
    stream.emit("error", new Error("late")); // no error of it ends the process
    assert.deepEqual(closed, ["first", "second"]);
    client.destroy();
    server.close();
  });

  it("a closed stream keeps the listeners of its errors alone", () => {
    const stream = new EventEmitter();
    const errors: unknown[] = [];
    stream.on("removeListener", () => {});
    stream.on("data", () => {});
    stream.once("close", () => {});
    stream.on("error", (error) => errors.push(error));
    letGoOfListeners(stream);
    assert.deepEqual(stream.eventNames(), ["error"]);
    stream.emit("error", "late");
    assert.deepEqual(errors, ["late"]);
  });
});
