import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { newToken, tokenHash } from "../../common/access/tokens.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { sampleReport } from "../../common/testing/sample-report.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AuditService } from "../../gen/nebula/v1/audit_pb.ts";
import { ConfigService } from "../../gen/nebula/v1/config_pb.ts";
import { ReportService } from "../../gen/nebula/v1/report_pb.ts";
import { RawClient } from "../../manager/testing/raw-client.ts";
import { ReportingWatch, reportsRequest, watchRequest } from "../../manager/testing/reporting-watch.ts";
import { Server } from "../harness/server.ts";

const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;

type Headers = Readonly<Record<string, string>>;

describe("attacks on a device by its id", function () {
  this.timeout(60_000);
  let server: Server;
  let mallory: Headers;
  let ann: Headers;

  Server.forSuite({}, async (started) => {
    server = started;
    await server.api.createGroup("a", []);
    await server.api.createGroup("b", []);
    mallory = await server.api.createUser("mallory", "a long password", { deviceGroups: { a: "rw" } });
    ann = await server.api.createUser("ann", "a long password", { deviceGroups: { b: "rw" } });
  });

  let boots = 0;
  const report = (deviceId: string, deviceGroup: string, headers: Headers) =>
    server.api.channel.unary(
      ReportService.method.submitReports,
      { reports: [sampleReport({ deviceId, deviceGroup, boot: `boot-${++boots}` })] },
      { headers },
    );

  /** Enrols a device of b with the enrolment token of ann; answers its headers. */
  async function enrolled(deviceId: string): Promise<Headers> {
    const { token } = await server.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "b" }, { headers: ann });
    const own = newToken();
    const request = { deviceId, tokenHash: Buffer.from(tokenHash(own), "hex") };
    await server.api.channel.unary(AccessService.method.enrollDevice, request, { headers: { authorization: `Bearer ${token}` } });
    return { authorization: `Bearer ${own}` };
  }

  async function refused(call: Promise<unknown>): Promise<string> {
    const error = await call.then(
      () => assert.fail("it was let through"),
      (thrown: unknown) => thrown,
    );
    assert.ok(isNebulaError(error, "permission_denied"), String(error));
    return error.message;
  }

  /** Reports may reach the store a moment after they were acknowledged. */
  const isInGroup = (deviceId: string, deviceGroup: string) =>
    eventually(async () => assert.equal((await server.api.device(deviceId))?.deviceGroup, deviceGroup));

  async function audited(deviceId: string, method: string): Promise<void> {
    const { channel, headers } = server.api;
    await eventually(async () => {
      const { auditEntries } = await channel.unary(
        AuditService.method.listAuditEntries,
        { kind: "device", name: deviceId, pageSize: 100 },
        { headers },
      );
      return auditEntries.some((entry) => entry.method.endsWith(`/${method}`) && entry.outcome === "PERMISSION_DENIED");
    });
  }

  it("a report from another group moves no device, and reveals nothing of it", async () => {
    await report("till-1", "b", ann);
    const tokened = await enrolled("till-2");
    await report("till-2", "b", tokened);
    const messages = [await refused(report("till-1", "a", mallory)), await refused(report("till-2", "a", mallory))];
    assert.equal(messages[0]?.replace("till-1", "ID"), messages[1]?.replace("till-2", "ID"));
    assert.doesNotMatch(messages.join(), /\bb\b|token/);
    for (const deviceId of ["till-1", "till-2"]) await isInGroup(deviceId, "b");
    await audited("till-1", "SubmitReports");
    await report("till-1", "b", ann);
    await report("till-9", "a", mallory); // an id that is nobody's
    await isInGroup("till-9", "a");
  });

  it("a report on the stream of a watch moves no device of another group either, and reveals nothing of it", async () => {
    await report("till-7", "b", ann);
    const tokened = await enrolled("till-8");
    await report("till-8", "b", tokened);
    await using client = new RawClient(server.grpcPort);
    const oscar = await server.api.createUser("oscar", "a long password", { deviceGroups: { a: "rw" } }); // equal refusals are counted together
    const watch = new ReportingWatch(client, oscar).send(watchRequest({ deviceGroup: "a", deviceId: "mine", serveHere: true }));
    const victims = ["till-7", "till-8"];
    for (const deviceId of victims) watch.report(sampleReport({ deviceId, deviceGroup: "a" }), sampleReport({ deviceId, deviceGroup: "a", seq: 2n }));
    for (const deviceId of victims) watch.report(sampleReport({ deviceId, deviceGroup: "b" }));
    watch.report(sampleReport({ deviceId: "mine", deviceGroup: "a" }));
    await eventually(() => watch.reported.length === 5);
    assert.deepEqual(
      watch.reported.map(({ code }) => code),
      [PERMISSION_DENIED, PERMISSION_DENIED, PERMISSION_DENIED, PERMISSION_DENIED, 0],
    );
    const [first = "", second = ""] = watch.reported.map(({ message }) => message);
    assert.equal(first.replace("till-7", "ID"), second.replace("till-8", "ID"));
    assert.doesNotMatch(first, /\bb\b|token/);
    for (const deviceId of victims) await isInGroup(deviceId, "b");
    await audited("till-7", "SubmitReports");
    await isInGroup("mine", "a");
  });

  it("the watch of a device on the stream of its reports takes no second watch, of another group or device", async () => {
    const headers = await enrolled("till-10");
    await using client = new RawClient(server.grpcPort);
    const own = { deviceGroup: "b", deviceId: "till-10", serveHere: true };
    const watch = new ReportingWatch(client, headers).send(watchRequest(own), watchRequest({ ...own, deviceGroup: "a" }));
    watch.send(reportsRequest([sampleReport({ deviceId: "till-10", deviceGroup: "b" })]));
    await eventually(() => watch.reported.length === 2);
    assert.deepEqual(
      watch.reported.map(({ code }) => code),
      [INVALID_ARGUMENT, 0],
    );
    assert.deepEqual(watch.heard, ["config"]);
  });

  it("an enrolment from another group takes no device's id, with a token of its own or without", async () => {
    await report("till-3", "b", ann);
    const tokened = await enrolled("till-4");
    const { token } = await server.api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "a", uses: 9 }, { headers: mallory });
    const enrol = (deviceId: string) =>
      server.api.channel.unary(
        AccessService.method.enrollDevice,
        { deviceId, tokenHash: new Uint8Array(randomBytes(32)) },
        { headers: { authorization: `Bearer ${token}` } },
      );
    const messages = [await refused(enrol("till-3")), await refused(enrol("till-4"))];
    assert.equal(messages[0]?.replace("till-3", "ID"), messages[1]?.replace("till-4", "ID"));
    assert.doesNotMatch(messages.join(), /\bb\b|token/);
    await audited("till-3", "EnrollDevice");
    await report("till-3", "b", ann);
    await report("till-4", "b", tokened);
    assert.equal((await enrol("till-5")).deviceGroup, "a");
  });

  it("a watch with the id and boot of another group's device does not end the watch of the device", async () => {
    const headers = await enrolled("till-6");
    const watch = (deviceGroup: string, by: Headers, signal: AbortSignal) => {
      const request = { deviceGroup, deviceId: "till-6", boot: "boot-6", serveHere: true };
      return server.api.channel.serverStream(ConfigService.method.watchConfig, request, { headers: by, signal });
    };
    const gone = new AbortController();
    let heard = 0;
    let isOver = false;
    const device = (async () => {
      for await (const _ of watch("b", headers, gone.signal)) heard++;
    })().finally(() => {
      isOver = true;
    });
    device.catch(() => {});
    await eventually(() => heard === 1);
    const attack = async () => {
      for await (const _ of watch("a", mallory, gone.signal)) assert.fail("the attacker was served");
    };
    const message = await refused(attack());
    assert.doesNotMatch(message, /\bb\b|token/);
    await audited("till-6", "WatchConfig");
    await using client = new RawClient(server.grpcPort);
    const request = { deviceGroup: "a", deviceId: "till-6", boot: "boot-6", serveHere: true };
    const reporting = new ReportingWatch(client, mallory).send(watchRequest(request));
    await reporting.closed;
    assert.deepEqual([reporting.status, reporting.answers], [PERMISSION_DENIED, []]);
    assert.doesNotMatch(reporting.message, /\bb\b|token/);
    await audited("till-6", "WatchAndReport");
    assert.equal(isOver, false);
    await server.api.createApp({ name: "web", dockerImage: "nginx:1" });
    await server.api.updateGroup("b", ["web"]);
    await eventually(() => heard === 2);
    gone.abort();
  });
});
