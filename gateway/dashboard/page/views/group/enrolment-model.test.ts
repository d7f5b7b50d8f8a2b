import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { dockerCommand, workerCommand } from "../../../../../common/insight/text/enrolment-text.ts";
import { validateEnrolmentRequest } from "../../../../../common/validation/device-requests.ts";
import { CreateEnrolmentTokenRequestSchema, EnrolmentTokenSchema } from "../../../../../gen/nebula/v1/access_pb.ts";
import { type EnrolmentForm, enrolLine, enrolmentForm, enrolmentOf, enrolmentRow, forDevice, isOverTls } from "./enrolment-model.ts";

const ORIGIN = "https://nebula.example.com";
const form = (changes: Partial<EnrolmentForm> = {}): EnrolmentForm => ({ ...enrolmentForm(ORIGIN), ...changes });
const valid = (changes: Partial<EnrolmentForm> = {}) => {
  const enrolment = enrolmentOf(form(changes));
  return enrolment.kind === "valid" ? enrolment : assert.fail(enrolment.problem);
};

describe("the form of an enrolment token", () => {
  it("the form begins with the defaults of the API, and the address of the page", () => {
    assert.deepEqual(valid(), {
      kind: "valid",
      uses: 1,
      expiresInSeconds: 86_400,
      device: { server: ORIGIN, loopback: undefined, ownCa: false },
    });
  });

  it("the form takes what the API takes, and refuses the rest by the field", () => {
    for (const changes of [{ uses: "1000000" }, { lifetime: "365" }, { lifetime: "8760", unit: "h" }, { lifetime: "1", unit: "m" }] as const) {
      const { uses, expiresInSeconds } = valid(changes);
      const request = create(CreateEnrolmentTokenRequestSchema, { deviceGroup: "pos", uses, expiresInSeconds });
      assert.deepEqual(validateEnrolmentRequest(request), [], JSON.stringify(changes));
    }
    for (const [changes, problem] of [
      [{ uses: "0" }, 'invalid number of devices "0": use 1 to 1,000,000'],
      [{ uses: "1000001" }, 'invalid number of devices "1000001": use 1 to 1,000,000'],
      [{ uses: "1.5" }, 'invalid number of devices "1.5": use 1 to 1,000,000'],
      [{ uses: "" }, 'invalid number of devices "": use 1 to 1,000,000'],
      [{ lifetime: "366" }, 'invalid lifetime "366 days": use 1 to 365 days'],
      [{ lifetime: "0", unit: "h" }, 'invalid lifetime "0 hours": use 1 to 8,760 hours'],
      [{ server: "nebula" }, 'invalid address of the server "nebula": use http:// or https://, its host, and its port'],
      [
        { server: "https://ann:secret@nebula" },
        'invalid address of the server "https://ann:secret@nebula": use http:// or https://, its host, and its port',
      ],
      [{ server: `${ORIGIN}/ui/` }, `invalid address of the server "${ORIGIN}/ui/": use http:// or https://, its host, and its port`],
      [{ server: "ftp://nebula" }, 'invalid address of the server "ftp://nebula": use http:// or https://, its host, and its port'],
    ] as const) {
      const enrolment = enrolmentOf(form(changes));
      assert.equal(enrolment.kind === "wrong" ? enrolment.problem : "valid", problem);
    }
  });

  it("an address that only its own machine reaches is said to be one, and a CA file is for TLS alone", () => {
    for (const [server, loopback] of [
      ["http://127.0.0.1:8080", "127.0.0.1"],
      ["http://localhost:8080", "localhost"],
      ["http://[::1]:8080", "::1"],
      ["http://127.1:8080", "127.0.0.1"],
      ["http://10.0.0.1:8080", undefined],
    ] as const)
      assert.equal(valid({ server }).device.loopback, loopback, server);
    assert.equal(valid({ ownCa: true }).device.ownCa, true);
    assert.equal(valid({ ownCa: true, server: "http://nebula:8080" }).device.ownCa, false);
    assert.deepEqual([isOverTls(form()), isOverTls(form({ server: "http://nebula" })), isOverTls(form({ server: "?" }))], [true, false, false]);
  });

  it("the lines for the device have the token, the server, and the image of the server's version", () => {
    const device = forDevice(valid({ ownCa: true }).device, "1.2.3");
    assert.equal(workerCommand("s3cret", device), `NEBULA_TLS_CA=server.pem NEBULA_SERVER=${ORIGIN} NEBULA_ENROLL_TOKEN=s3cret nebula worker`);
    assert.match(dockerCommand("s3cret", device), /-e NEBULA_ENROLL_TOKEN=s3cret \\\n {2}nebula-worker:1\.2\.3$/);
  });

  it("the line of nebulactl makes the same token", () => {
    const line = (changes: Partial<EnrolmentForm>) => enrolLine("pos", form(changes), ORIGIN);
    assert.equal(line({}), "nebulactl devices enroll --device-group pos --uses 1 --expires 1d");
    assert.equal(line({ uses: "20", lifetime: "8", unit: "h" }), "nebulactl devices enroll --device-group pos --uses 20 --expires 8h");
    assert.equal(line({ uses: "x", lifetime: "" }), "nebulactl devices enroll --device-group pos");
    assert.equal(
      line({ server: "http://[2001:db8::1]:8080" }),
      "nebulactl devices enroll --device-group pos --uses 1 --expires 1d --server-for-devices 'http://[2001:db8::1]:8080'",
    );
  });

  it("a token in the list has its times in milliseconds", () => {
    const token = { id: "5b1f8f0c6f2b9a44", usesLeft: 3, createdBy: "ann", createdAt: timestampFromMs(1000), expiresAt: timestampFromMs(9000) };
    assert.deepEqual(enrolmentRow(create(EnrolmentTokenSchema, token)), { id: token.id, usesLeft: 3, by: "ann", madeAt: 1000, expiresAt: 9000 });
  });
});
