import assert from "node:assert/strict";
import { ownIdCandidates } from "./own-id.ts";

const id = "3f4e8c1b9a7d52604e8f1c3b5a7d9e0f2143658709badcfe3f4e8c1b9a7d5260";

describe("the worker's own container", () => {
  const none = { cgroup: "", mountinfo: "", hostname: "device-7" };

  it("the worker's own container is found by the path of its cgroup", () => {
    assert.deepEqual(ownIdCandidates({ ...none, cgroup: `12:memory:/docker/${id}\n0::/system.slice/docker-${id}.scope\n` }), [id]);
  });

  it("the worker's own container is found by the files that Docker mounts, and only by those", () => {
    const mount = (root: string, point: string) => `1 2 8:1 ${root} ${point} rw - ext4 /dev/sda1 rw`;
    const mountinfo = [mount(`/var/lib/docker/containers/${id}/hostname`, "/etc/hostname"), mount(`/docker/containers/${"b".repeat(64)}/x`, "/mnt")];
    assert.deepEqual(ownIdCandidates({ ...none, cgroup: "0::/\n", mountinfo: mountinfo.join("\n") }), [id]);
  });

  it("the worker's own container may be found by the host name", () => {
    assert.deepEqual(ownIdCandidates({ ...none, hostname: id.slice(0, 12) }), [id.slice(0, 12)]);
    assert.deepEqual(ownIdCandidates(none), []);
  });
});
