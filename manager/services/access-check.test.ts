import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { AccessService, type CheckRequestSchema, Verdict } from "../../gen/nebula/v1/access_pb.ts";
import { GetConfigRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import { ADMIN, startManagerRig, TEST_SECRETS } from "../testing/manager-rig.ts";
import { putTestUser } from "../testing/test-access.ts";

const GET_CONFIG = "/nebula.v1.ConfigService/GetConfig";
const configOf = (deviceGroup: string) => toBinary(GetConfigRequestSchema, create(GetConfigRequestSchema, { deviceGroup }));
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

async function startChecks() {
  const rig = await startManagerRig();
  const channel = rig.channel();
  return {
    rig,
    check: (request: MessageInitShape<typeof CheckRequestSchema>, address = "192.0.2.1") =>
      channel.unary(AccessService.method.check, request, {
        headers: { [PART_TOKEN_HEADER]: partToken(TEST_SECRETS.clusterKey), [FORWARDED_FOR_HEADER]: address },
      }),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

describe("AccessService.Check", () => {
  it("a check answers as the call itself would be answered", async () => {
    await using checks = await startChecks();
    await putTestUser(checks.rig.drivers.accessStore, "ann", { password: "correct horse", deviceGroups: { mine: "ro" } });
    const ann = basic("ann", "correct horse");
    const verdicts: [string, Uint8Array, string, Verdict][] = [
      [ADMIN.authorization, configOf("any"), GET_CONFIG, Verdict.ALLOWED],
      [ann, configOf("mine"), GET_CONFIG, Verdict.ALLOWED],
      [ann, configOf("other"), GET_CONFIG, Verdict.DENIED],
      [basic("ann", "wrong"), configOf("mine"), GET_CONFIG, Verdict.UNAUTHENTICATED],
      ["", configOf("mine"), GET_CONFIG, Verdict.UNAUTHENTICATED],
      [ADMIN.authorization, new Uint8Array(), "/nebula.v1.ConfigService/NoSuchMethod", Verdict.DENIED],
      ["", new Uint8Array(), "/grpc.health.v1.Health/Check", Verdict.ALLOWED],
      [ann, new Uint8Array(), "/nebula.v1.UserService/ListUsers", Verdict.DENIED],
    ];
    for (const [authorization, request, method, verdict] of verdicts) {
      const answer = await checks.check({ authorization, request, method });
      assert.equal(answer.verdict, verdict, `${method}: ${answer.reason}`);
      assert.equal(answer.reason === "", verdict === Verdict.ALLOWED);
    }
  });

  it("a check leaves an audit entry of a failed login, for the address that is forwarded, and of nothing else", async () => {
    await using checks = await startChecks();
    const asked = (authorization: string, method = GET_CONFIG) => checks.check({ authorization, request: configOf("g"), method });
    await asked("Bearer wrong");
    await asked(ADMIN.authorization);
    await putTestUser(checks.rig.drivers.accessStore, "ann", { password: "correct horse" });
    assert.equal((await asked(basic("ann", "correct horse"))).verdict, Verdict.DENIED);
    await eventually(async () => {
      const { items } = await checks.rig.drivers.accessStore.listAudit({}, { limit: 10 });
      assert.deepEqual(
        items.map(({ who, from, method, outcome }) => [who, from, method, outcome]),
        [["nobody", "192.0.2.1", GET_CONFIG, "UNAUTHENTICATED"]],
      );
    });
  });

  it("a check names the caller, whose changes alone concern its answer, and none for a session, which its end concerns, too", async () => {
    await using checks = await startChecks();
    await putTestUser(checks.rig.drivers.accessStore, "ann", { password: "correct horse", deviceGroups: { mine: "ro" } });
    const ann = basic("ann", "correct horse");
    const { token } = await checks.rig.channel().unary(AccessService.method.createSession, {}, { headers: { authorization: ann } });
    const subjectOf = async (authorization: string) => {
      const { verdict, subject } = await checks.check({ authorization, request: configOf("mine"), method: GET_CONFIG });
      return [verdict, subject];
    };
    assert.deepEqual(await subjectOf(ann), [Verdict.ALLOWED, "user/ann"]);
    assert.deepEqual(await subjectOf(`Bearer ${token}`), [Verdict.ALLOWED, ""]);
  });

  it("a check refuses a request that does not fit the method, naming the field", async () => {
    await using checks = await startChecks();
    const bad = checks.check({ authorization: ADMIN.authorization, request: Uint8Array.of(0xff, 0xff), method: GET_CONFIG });
    await assert.rejects(bad, (error) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "request");
  });

  it("a check counts failed logins for the forwarded address, and serves every other address", async () => {
    await using checks = await startChecks();
    const wrong = (tries: number) =>
      checks.check({ authorization: `Bearer wrong${tries}`, request: configOf("g"), method: GET_CONFIG }, "192.0.2.66");
    const guesses = await Promise.allSettled(Array.from({ length: 150 }, (_, index) => wrong(index)));
    const refusals = guesses.flatMap((guess) => (guess.status === "rejected" ? [guess.reason] : []));
    assert.ok(refusals.length > 50 && refusals.every((error) => isNebulaError(error, "resource_exhausted") && (error.retryAfterMs ?? 0) > 0));
    const other = await checks.check({ authorization: ADMIN.authorization, request: configOf("g"), method: GET_CONFIG }, "192.0.2.67");
    assert.equal(other.verdict, Verdict.ALLOWED);
  });
});
