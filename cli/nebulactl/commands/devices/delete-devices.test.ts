import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { type DeleteDevicesRequest, DeleteDevicesResponseSchema, DeviceService } from "../../../../gen/nebula/v1/device_pb.ts";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";

/** Runs a delete against a server on which this many devices have been offline for long, of which a call deletes `perCall`. */
async function deleted(args: string, { offline = 2300, perCall = 1000, ...options }: RunOptions & { offline?: number; perCall?: number } = {}) {
  const requests: DeleteDevicesRequest[] = [];
  let left = offline;
  const transport = createRouterTransport(({ service }) => {
    service(DeviceService, {
      deleteDevices(request) {
        requests.push(request);
        if (request.deviceGroup === "nope") throw new ConnectError('there is no device_group "nope"', Code.NotFound);
        const now = request.dryRun ? 0 : Math.min(left, perCall);
        left -= now;
        const deviceGroups =
          offline === 0
            ? []
            : [
                { deviceGroup: "pos", devices: BigInt(offline - 1) },
                { deviceGroup: "till", devices: 1n },
              ];
        return create(DeleteDevicesResponseSchema, { deleted: BigInt(now), remaining: BigInt(left), deviceGroups });
      },
    });
  });
  const env = { NEBULA_SERVER: "http://127.0.0.1:1", NEBULA_TOKEN: "t" };
  return { ...(await nebulactl(`devices delete ${args}`, { ...options, env, connect: async () => transport })), requests, left: () => left };
}

const QUESTION = "2300 devices have been offline for longer than 90d (2299 in pos, 1 in till). Delete their status? [y/N] ";

describe("nebulactl devices delete --offline-longer", () => {
  it("nebulactl devices delete --offline-longer says how many there are, asks, and deletes them call by call", async () => {
    const { code, out, err, requests, left } = await deleted("--offline-longer 90d", { answers: ["y"] });
    assert.deepEqual({ code, out, err }, { code: 0, out: "2300 devices deleted\n", err: QUESTION });
    assert.deepEqual(
      requests.map(({ dryRun, force, offlineLongerMs }) => [dryRun, force, offlineLongerMs]),
      [true, false, false, false].map((dryRun) => [dryRun, false, 90n * 86_400_000n]),
    );
    assert.equal(left(), 0);
  });

  it("nebulactl devices delete --offline-longer deletes nothing after a no, and without a terminal only with --yes", async () => {
    const kept = await deleted("--offline-longer 90d", { answers: ["n"] });
    assert.deepEqual([kept.code, kept.left(), kept.requests.length], [1, 2300, 1]);
    assert.match(kept.err, /no device was deleted\n$/);
    const refused = await deleted("--offline-longer 90d");
    assert.deepEqual([refused.code, refused.left()], [1, 2300]);
    assert.match(
      refused.err,
      /^error: 2300 devices have been offline for longer than 90d \(2299 in pos, 1 in till\); use --yes to delete their status\n$/,
    );
    const done = await deleted("--offline-longer 90d --device-group pos --yes --force -o json");
    assert.deepEqual([done.code, done.left(), JSON.parse(done.out)], [0, 0, { deleted: 2300 }]);
    assert.deepEqual([done.requests[1]?.deviceGroup, done.requests[1]?.force], ["pos", true]);
  });

  it("nebulactl devices delete --offline-longer ends where none is left, and where the rest connected meanwhile", async () => {
    const none = await deleted("--offline-longer 90d", { offline: 0 });
    assert.deepEqual([none.code, none.out, none.requests.length], [0, "no device has been offline for longer than 90d\n", 1]);
    const rest = await deleted("--offline-longer 90d --yes", { perCall: 0 });
    assert.deepEqual([rest.code, rest.out, rest.requests.length], [0, "0 devices deleted\n", 2]);
  });

  it("nebulactl devices delete refuses what does not belong together, and a time that is not one", async () => {
    for (const [args, message] of [
      ["pos-1 --offline-longer 90d", /DEVICE and --offline-longer are both given/],
      ["pos-1 --force", /--force needs --offline-longer/],
      ["--device-group pos", /--device-group needs --offline-longer/],
      ["", /devices delete needs DEVICE or --device, or --offline-longer/],
      ["--offline-longer never", /invalid --offline-longer "never": use a duration from 1s, such as 30m, 1h or 90d/],
      ["--offline-longer 0", /invalid --offline-longer "0"/],
      ["--offline-longer 90d --device-group nope", /there is no device_group "nope"/],
    ] as const) {
      const { code, out, err, left } = await deleted(args);
      assert.deepEqual([code, out, left()], [1, "", 2300], args);
      assert.match(err, message);
    }
  });
});
