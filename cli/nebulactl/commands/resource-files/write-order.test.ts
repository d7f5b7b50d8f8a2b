import { strict as assert } from "node:assert";
import type { Resource } from "../../../../common/resources/resource.ts";
import { appKind } from "../entities/app-kind.ts";
import { cronJobKind } from "../entities/cron-job-kind.ts";
import { deviceGroupKind } from "../entities/device-group-kind.ts";
import { userGroupKind } from "../entities/user-group-kind.ts";
import { inOrder, missingMembers } from "./write-order.ts";

const app = (name: string) => appKind.toResource(appKind.make(name, {}));
const cronJob = (name: string) => cronJobKind.toResource(cronJobKind.make(name, {}));
const group = (name: string, apps: string[], cronJobs: string[] = []) => deviceGroupKind.toResource(deviceGroupKind.make(name, { apps, cronJobs }));

const userGroup = (name: string) => userGroupKind.toResource(userGroupKind.make(name, {}));

describe("the write order of an apply", () => {
  it("the write order has apps before cron_jobs, these before device_groups and all before user_groups, and keeps the order of the files within a kind", () => {
    const [u, g, c, a2, a1] = [userGroup("u"), group("g", []), cronJob("c"), app("a2"), app("a1")];
    assert.deepEqual(inOrder([u, g, c, a2, a1]), [a2, a1, c, g, u]);
    assert.deepEqual(inOrder([a1, u, a2, c, g]), [a1, a2, c, g, u]);
  });

  it("the write order refuses members that are in no file, in no stored group and not on the server, and looks up each once", async () => {
    const asked: string[] = [];
    const exists = async (members: readonly { kind: string; name: string }[]) => {
      asked.push(...members.map(({ kind, name }) => `${kind} ${name}`));
      return members.map(({ name }) => name.startsWith("there"));
    };
    const planned: { resource: Resource; stored: Resource | undefined }[] = [
      { resource: app("web"), stored: undefined },
      { resource: group("pos", ["web", "held", "there", "gone"], ["web"]), stored: group("pos", ["held"]) },
      { resource: group("till", ["gone", "held"]), stored: undefined },
    ];
    const missing = await missingMembers(planned, exists);
    assert.deepEqual(
      missing.map(({ field, description }) => `${field}: ${description}`),
      [
        'device_group pos: apps[3]: there is no app "gone", neither in the files nor on the server: create it, or leave it out',
        'device_group pos: cron_jobs[0]: there is no cron_job "web", neither in the files nor on the server: create it, or leave it out',
        'device_group till: apps[0]: there is no app "gone", neither in the files nor on the server: create it, or leave it out',
        'device_group till: apps[1]: there is no app "held", neither in the files nor on the server: create it, or leave it out',
      ],
    );
    assert.deepEqual(asked, ["app there", "app gone", "cron_job web", "app held"]);
  });
});
