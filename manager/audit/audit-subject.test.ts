import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { newToken } from "../../common/access/tokens.ts";
import { AUDIT_KINDS } from "../../common/insight/text/access-text.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { DeviceService, TargetKind } from "../../gen/nebula/v1/device_pb.ts";
import { HistoryService } from "../../gen/nebula/v1/history_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { UserGroupService } from "../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../gen/nebula/v1/user_pb.ts";
import { cut, subjectOf } from "./audit-subject.ts";

describe("what a call is about", () => {
  it("the subject of an entry is the one that the request names", () => {
    const { createApp, deleteApp } = AppService.method;
    const { prune, pruneAll } = DeviceGroupService.method;
    const { revokeEnrolmentToken, createEnrolmentToken, revokeDeviceToken, enrollDevice, createSession, deleteSession } = AccessService.method;
    const { createUserGroup } = UserGroupService.method;
    const { rollback } = HistoryService.method;
    const { submitReports } = ReportService.method;
    const { watchConfig, watchAndReport } = ConfigService.method;
    const watch = { case: "watch", value: { deviceGroup: "pos", deviceId: "d1" } } as const;
    const reports = { case: "reports" as const, value: { reports: [{ deviceId: "d2" }] } };
    const cases = [
      [createApp, create(createApp.input, { app: { name: "web" } }), "app", "web"],
      [createApp, create(createApp.input), "app", ""],
      [deleteApp, create(deleteApp.input, { name: "web" }), "app", "web"],
      [prune, create(prune.input, { name: "pos" }), "device_group", "pos"],
      [pruneAll, create(pruneAll.input), "device_group", ""],
      [rollback, create(rollback.input, { kind: TargetKind.CRON_JOB, name: "nightly" }), "cron_job", "nightly"],
      [rollback, create(rollback.input, { name: "nightly" }), "", ""],
      [rollback, undefined, "", ""],
      [UserService.method.createUser, create(UserService.method.createUser.input, { name: "ann", password: "a secret" }), "user", "ann"],
      [createUserGroup, create(createUserGroup.input, { userGroup: { name: "staff" } }), "user_group", "staff"],
      [DeviceService.method.deleteDevice, create(DeviceService.method.deleteDevice.input, { deviceId: "d1" }), "device", "d1"],
      [createEnrolmentToken, create(createEnrolmentToken.input, { deviceGroup: "pos" }), "enrolment_token", ""],
      [revokeEnrolmentToken, create(revokeEnrolmentToken.input, { id: "0123456789abcdef" }), "enrolment_token", "0123456789abcdef"],
      [revokeEnrolmentToken, create(revokeEnrolmentToken.input, { id: newToken() }), "enrolment_token", ""], // the token in place of its id
      [createSession, create(createSession.input), "session", ""],
      [deleteSession, create(deleteSession.input, { id: "0123456789abcdef" }), "session", "0123456789abcdef"],
      [deleteSession, create(deleteSession.input, { id: `nbs_${newToken()}` }), "session", ""], // the token in place of its id
      [revokeDeviceToken, create(revokeDeviceToken.input, { deviceId: "d1" }), "device", "d1"],
      [enrollDevice, create(enrollDevice.input, { deviceId: "d1" }), "device", "d1"],
      [submitReports, create(submitReports.input, { reports: [{ deviceId: "d1" }] }), "device", "d1"],
      [submitReports, create(submitReports.input), "device", ""],
      [watchConfig, create(watchConfig.input, { deviceGroup: "pos", deviceId: "d1" }), "device", "d1"],
      [watchAndReport, create(watchAndReport.input, { request: watch }), "device", "d1"],
      [watchAndReport, create(watchAndReport.input, { request: reports }), "device", "d2"],
      [watchAndReport, create(watchAndReport.input), "device", ""],
      [StatusService.method.getStatus, create(StatusService.method.getStatus.input), "", ""],
    ] as const;
    for (const [method, request, kind, name] of cases) {
      assert.deepEqual(subjectOf(method, request), { kind, name }, method.name);
    }
    assert.deepEqual(new Set(cases.map(([, , kind]) => kind)), new Set(["", ...AUDIT_KINDS]), "each kind that a filter may name has calls");
    assert.deepEqual(subjectOf(deleteApp, undefined), { kind: "app", name: "" });
  });

  it("the subject of an entry is short and plain for any request", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 400 }), (name) => {
        const { deleteApp } = AppService.method;
        const subject = subjectOf(deleteApp, create(deleteApp.input, { name }));
        assert.ok(subject.name.length <= 131);
        assert.doesNotMatch(subject.name, /\p{Cc}/u);
        assert.ok(subject.name.isWellFormed());
        assert.ok(cut(name, 10).length <= 13);
      }),
    );
  });
});
