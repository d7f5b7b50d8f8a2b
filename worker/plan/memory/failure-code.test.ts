import { strict as assert } from "node:assert";
import { enumToJson } from "@bufbuild/protobuf";
import { FailureCode, FailureCodeSchema } from "../../../gen/nebula/v1/report_pb.ts";
import { errorFromDocker, pullError } from "../../runtime/docker/errors.ts";
import type { Step } from "../step.ts";
import { failureCodeOf } from "./failure-code.ts";

/** Answers of engines from 20.10 to 29, of containerd, runc and registries; names and numbers are made up. */
const ANSWERS: readonly (readonly [step: Step["kind"], words: string, code: FailureCode])[] = [
  [
    "create",
    'Conflict. The container name "/web-1" is already in use by container "3f4e". You have to remove (or rename) that container to be able to reuse that name.',
    FailureCode.NAME_TAKEN,
  ],
  ["create", "No such image: shop:7", FailureCode.IMAGE_MISSING],
  ["create", 'invalid mount config for type "bind": bind source path does not exist: /srv/none', FailureCode.MOUNT_REFUSED],
  ["create", 'could not select device driver "" with capabilities: [[gpu]]', FailureCode.DEVICE_MISSING],
  ["create", "network shop-net not found", FailureCode.NETWORK_MISSING],
  ["create", "Minimum memory limit allowed is 6MB", FailureCode.CREATE_REFUSED],
  ["create", "mkdir /var/lib/docker/overlay2/1f: no space left on device", FailureCode.NO_SPACE],
  [
    "start",
    "driver failed programming external connectivity on endpoint web-1 (952531): Bind for 0.0.0.0:8080 failed: port is already allocated",
    FailureCode.PORT_TAKEN,
  ],
  [
    "start",
    "driver failed programming external connectivity on endpoint web-1 (952531): Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
    FailureCode.PORT_TAKEN,
  ],
  [
    "start",
    "failed to set up container networking: driver failed programming external connectivity on endpoint web-1 (952531): failed to bind host port 0.0.0.0:8080/tcp: address already in use",
    FailureCode.PORT_TAKEN,
  ],
  ["start", 'error gathering device information while adding custom device "/dev/ttyUSB0": no such file or directory', FailureCode.DEVICE_MISSING],
  [
    "start",
    'failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "/no/such": stat /no/such: no such file or directory',
    FailureCode.COMMAND_MISSING,
  ],
  [
    "start",
    'OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "serve": executable file not found in $PATH: unknown',
    FailureCode.COMMAND_MISSING,
  ],
  ["start", "exec /usr/bin/serve: exec format error", FailureCode.COMMAND_MISSING],
  ["start", "error while creating mount source path '/proc/none': mkdir /proc/none: no such file or directory", FailureCode.MOUNT_REFUSED],
  [
    "start",
    'OCI runtime create failed: runc create failed: error mounting "/srv/conf" to rootfs at "/etc/conf": mount src=/srv/conf: not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?',
    FailureCode.MOUNT_REFUSED,
  ],
  ["start", "could not find a network matching network mode shop-net: network shop-net not found", FailureCode.NETWORK_MISSING],
  [
    "start",
    "OCI runtime create failed: runc create failed: unable to start container process: unable to apply cgroup configuration: unknown",
    FailureCode.START_REFUSED,
  ],
  ["pull", "no matching manifest for linux/arm/v7 in the manifest list entries", FailureCode.PULL_PLATFORM],
  [
    "pull",
    "image with reference shop:7 was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64",
    FailureCode.PULL_PLATFORM,
  ],
  ["pull", "manifest for registry.example.com/shop:7 not found: manifest unknown: manifest unknown", FailureCode.PULL_NOT_FOUND],
  ["pull", 'failed to resolve reference "registry.example.com/shop:7": registry.example.com/shop:7: not found', FailureCode.PULL_NOT_FOUND],
  [
    "pull",
    "pull access denied for shop, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
    FailureCode.PULL_LOGIN,
  ],
  ["pull", 'Get "https://registry.example.com/v2/shop/manifests/7": no basic auth credentials', FailureCode.PULL_LOGIN],
  ["pull", "unauthorized: authentication required", FailureCode.PULL_LOGIN],
  ["pull", 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', FailureCode.PULL_UNREACHABLE],
  [
    "pull",
    'Get "https://registry.example.com/v2/": dial tcp: lookup registry.example.com on 10.0.0.2:53: no such host',
    FailureCode.PULL_UNREACHABLE,
  ],
  [
    "pull",
    'Get "https://registry.example.com/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)',
    FailureCode.PULL_UNREACHABLE,
  ],
  ["pull", 'Get "https://registry.example.com/v2/": x509: certificate signed by unknown authority', FailureCode.PULL_UNREACHABLE],
  ["pull", 'Get "https://registry.example.com/v2/": http: server gave HTTP response to HTTPS client', FailureCode.PULL_UNREACHABLE],
  ["pull", "received unexpected HTTP status: 503 Service Unavailable", FailureCode.PULL_UNREACHABLE],
  ["pull", "toomanyrequests: You have reached your pull rate limit.", FailureCode.PULL_UNREACHABLE],
  ["pull", "failed to register layer: write /usr/lib/libc.so: no space left on device", FailureCode.NO_SPACE],
  ["pull", "failed to register layer: archive/tar: invalid tar header", FailureCode.OTHER],
  ["connect", "network shop-net not found", FailureCode.NETWORK_MISSING],
  ["connect", "endpoint with name web-1 already exists in network nebula", FailureCode.NETWORK_FAILED],
  [
    "create_network",
    "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
    FailureCode.NETWORK_FAILED,
  ],
  ["stop", "cannot stop container: 3f4e: tried to kill container, but did not receive an exit event", FailureCode.STOP_FAILED],
  ["restart", "Cannot restart container web-1: tried to kill container, but did not receive an exit event", FailureCode.STOP_FAILED],
  ["remove", "removal of container 3f4e is already in progress", FailureCode.REMOVE_FAILED],
  ["remove_volume", "remove data: volume is in use - [3f4e]", FailureCode.REMOVE_FAILED],
  ["rename", 'Error when allocating new name: Conflict. The container name "/web-1" is already in use by container "3f4e".', FailureCode.NAME_TAKEN],
  ["inspect", "layer does not exist", FailureCode.INSPECT_FAILED],
  ["create", "container 3f4e5a6b7c8d, which is replaced, can't be inspected: layer does not exist", FailureCode.INSPECT_FAILED],
  ["unpause", "Cannot unpause container web-1: cgroup is gone", FailureCode.PAUSED],
];

const nameOf = (code: FailureCode) => enumToJson(FailureCodeSchema, code);

describe("failureCodeOf", () => {
  for (const [step, words, code] of ANSWERS) {
    it(`failureCodeOf a ${step} that was answered "${words.slice(0, 60)}" is ${nameOf(code)}`, () => {
      const refused = Object.assign(new Error(words), { statusCode: 500, json: { message: words } });
      const error = step === "pull" ? pullError(words) : errorFromDocker(refused, "here");
      assert.equal(nameOf(failureCodeOf(step, { reason: error.message, errorKind: error.kind })), nameOf(code));
    });
  }

  it("failureCodeOf a pull without progress is PULL_STALLED", () => {
    const stalled = failureCodeOf("pull", { reason: "registry.example.com/shop:7 showed no progress for 120 s", errorKind: "deadline_exceeded" });
    assert.equal(stalled, FailureCode.PULL_STALLED);
  });
});
