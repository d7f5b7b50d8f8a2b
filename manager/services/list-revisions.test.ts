import { strict as assert } from "node:assert";
import { create, toBinary } from "@bufbuild/protobuf";
import { targetKindOf } from "../../common/resources/target-kind.ts";
import { freshName } from "../../common/storage/contracts/config-store-samples.ts";
import { RestartAppRequestSchema } from "../../gen/nebula/v1/app_pb.ts";
import { GetRevisionRequestSchema, ListRevisionsResponseSchema, RevisionSchema } from "../../gen/nebula/v1/history_pb.ts";
import { refusal } from "../testing/app-calls.ts";
import { callOf } from "../testing/entity-rig.ts";
import { actionOf, describeHistory, texts } from "../testing/history-rig.ts";

describeHistory("the history of an entity", (on) => {
  it("a history names who, what and each field with its values, newest first, and shows secret values as every read does", async () => {
    await on.calls.createApp(on.web, { envVars: { REGION: "eu" }, secretEnvVars: { TOKEN: "one" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
    await on.rig.apps.restartApp(create(RestartAppRequestSchema, { name: on.web }), callOf("bob"));
    await on.calls.deleteApp(on.web);
    const { revisions, nextPageToken } = await on.calls.revisions("app", on.web);
    assert.equal(nextPageToken, "");
    assert.deepEqual(
      revisions.map(({ revision, action, change, previousRevision, body }) => [revision, actionOf(action), change?.by, previousRevision, body.case]),
      [
        [4n, "DELETE", "ann", 3n, undefined],
        [3n, "RESTART", "bob", 2n, "app"],
        [2n, "UPDATE", "ann", 1n, "app"],
        [1n, "CREATE", "ann", 0n, "app"],
      ],
    );
    const [deleted, restarted, updated, created] = revisions.map(({ differences }) => texts(differences));
    assert.deepEqual([deleted, restarted], [[], []]);
    assert.deepEqual(created?.slice(0, 2), ['docker_image: - -> "shop:1"', 'env_vars: - -> {"REGION":"eu"}']);
    assert.equal(updated?.[0], 'docker_image: "shop:1" -> "shop:2"');
    assert.match(updated?.[1] ?? "", /^secret_env_vars: \{"TOKEN":"secret:([0-9a-f]{8})"\} -> \{"TOKEN":"secret:(?!\1)[0-9a-f]{8}"\}$/);
    assert.ok(!Buffer.from(toBinary(ListRevisionsResponseSchema, create(ListRevisionsResponseSchema, { revisions }))).includes("nebula-sealed"));
    assert.deepEqual(await on.calls.revision("app", on.web, 2n), revisions[2]);
  });

  it("a history is read in pages, which compare across their border, and ends where the last one says", async () => {
    await on.calls.createApp(on.web);
    for (const image of ["shop:2", "shop:3", "shop:4"]) await on.calls.updateApp(on.web, { dockerImage: image }, "docker_image");
    const read: string[] = [];
    for (let pageToken = ""; ; ) {
      const page = await on.calls.revisions("app", on.web, { pageSize: 3, pageToken });
      read.push(...page.revisions.flatMap(({ revision, differences }) => texts(differences).map((text) => `${revision} ${text}`)));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    assert.deepEqual(read, [
      '4 docker_image: "shop:3" -> "shop:4"',
      '3 docker_image: "shop:2" -> "shop:3"',
      '2 docker_image: "shop:1" -> "shop:2"',
      '1 docker_image: - -> "shop:1"',
    ]);
    assert.deepEqual((await on.calls.revisions("app", freshName("never"))).revisions, []);
    await assert.rejects(on.calls.revisions("app", on.web, { pageToken: "nonsense" }), refusal("invalid_argument", /page_token/));
  });

  it("a page of a history stays below the size that clients take, with each revision on one page", async () => {
    await on.calls.createApp(on.web);
    const images = Array.from({ length: 20 }, (_, at) => `shop:${at + 2}`);
    for (const dockerImage of images) {
      const envVars = { LARGE: dockerImage.padEnd(60_000, "x") };
      await on.calls.updateApp(on.web, { dockerImage, envVars }, "docker_image", "env_vars");
    }
    const seen: bigint[] = [];
    const sizes: number[] = [];
    for (let pageToken = ""; ; ) {
      const page = await on.calls.revisions("app", on.web, { pageToken });
      sizes.push(toBinary(ListRevisionsResponseSchema, page).byteLength);
      seen.push(...page.revisions.map(({ revision }) => revision));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 21 }, (_, at) => BigInt(21 - at)),
    );
    assert.ok(sizes.length === 2 && sizes.every((size) => size < 3 * 1024 * 1024), sizes.join());
  });

  it("a revision is compared with any other kept one, in both directions, and with none that never was", async () => {
    await on.calls.createApp(on.web, { dockerImage: "shop:1", envVars: { A: "1" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2" }, "docker_image");
    await on.calls.updateApp(on.web, { envVars: { A: "2" } }, "env_vars");
    const compared = async (revision: bigint, compareWith: bigint) => {
      const request = create(GetRevisionRequestSchema, { kind: targetKindOf("app"), name: on.web, revision, compareWith });
      return create(RevisionSchema, (await on.calls.history.getRevision(request, callOf("ann"))).revision);
    };
    const forth = await compared(3n, 1n);
    assert.deepEqual([forth.revision, forth.previousRevision], [3n, 1n]);
    assert.deepEqual(texts(forth.differences), ['docker_image: "shop:1" -> "shop:2"', 'env_vars: {"A":"1"} -> {"A":"2"}']);
    assert.deepEqual(texts((await compared(1n, 3n)).differences), ['docker_image: "shop:2" -> "shop:1"', 'env_vars: {"A":"2"} -> {"A":"1"}']);
    assert.deepEqual((await compared(2n, 2n)).differences, []);
    await assert.rejects(compared(3n, 9n), refusal("not_found", /^revision 9 of app \S+ never was, or is no longer kept/));
  });

  it("a revision that brought a deleted app back says so, and no other does, with any revision that it is compared with", async () => {
    await on.calls.createApp(on.web);
    await on.calls.deleteApp(on.web);
    await on.calls.rollback("app", on.web);
    await on.calls.updateApp(on.web, { dockerImage: "shop:2" }, "docker_image");
    await on.calls.rollback("app", on.web);
    for (const [revision, compareWith, isRestored] of [
      [5n, 2n, false],
      [5n, undefined, false],
      [3n, 1n, true],
      [3n, undefined, true],
    ] as const) {
      const request = create(GetRevisionRequestSchema, { kind: targetKindOf("app"), name: on.web, revision, ...(compareWith && { compareWith }) });
      const { restored } = create(RevisionSchema, (await on.calls.history.getRevision(request, callOf("ann"))).revision);
      assert.equal(restored, isRestored, `${revision} with ${compareWith}`);
    }
  });

  it("a revision that never was is not found", async () => {
    await on.calls.createApp(on.web);
    for (const revision of [0n, 2n, 2n ** 64n - 1n])
      await assert.rejects(on.calls.revision("app", on.web, revision), refusal("not_found", /never was, or is no longer kept/));
    await assert.rejects(on.calls.rollback("app", on.web, { to: 7n }), refusal("not_found", /revision 7/));
  });
});
