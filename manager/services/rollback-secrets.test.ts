import { strict as assert } from "node:assert";
import { refusal } from "../testing/app-calls.ts";
import { startEntityRig } from "../testing/entity-rig.ts";
import { callsOver, describeHistory, secretsOf, texts } from "../testing/history-rig.ts";

describeHistory("secret values in a rollback", (on) => {
  it("a rollback keeps a secret value that was rotated, and with secrets brings the older one back", async () => {
    await on.calls.createApp(on.web, { secretEnvVars: { TOKEN: "one", SAME: "same" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two", SAME: "same" } }, "docker_image", "secret_env_vars");
    const kept = await on.calls.rollback("app", on.web);
    assert.deepEqual([kept.keptSecrets, texts(kept.differences)], [["TOKEN"], ['docker_image: "shop:2" -> "shop:1"']]);
    assert.deepEqual(await secretsOf(on.rig, on.web), { TOKEN: "two", SAME: "same" });
    const brought = await on.calls.rollback("app", on.web, { to: 1n, secrets: true });
    assert.deepEqual(brought.keptSecrets, []);
    assert.match(texts(brought.differences).join(), /^secret_env_vars: .*"TOKEN":"secret:[0-9a-f]{8}"/);
    assert.deepEqual(await secretsOf(on.rig, on.web), { TOKEN: "one", SAME: "same" });
    const nothing = await on.calls.rollback("app", on.web, { to: 1n, secrets: true });
    assert.equal(nothing.revision, nothing.revisionBefore, "equal values are no difference, however they are sealed");
  });

  it("a rollback brings back the secret variables that only the older body has, and takes away those that it had not", async () => {
    await on.calls.createApp(on.web, { secretEnvVars: { OLD: "old" } });
    await on.calls.updateApp(on.web, { secretEnvVars: { NEW: "new" } }, "secret_env_vars");
    await on.calls.rollback("app", on.web);
    assert.deepEqual(await secretsOf(on.rig, on.web), { OLD: "old" });
    await on.calls.rollback("app", on.web);
    assert.deepEqual(await secretsOf(on.rig, on.web), { NEW: "new" });
  });

  it("a rollback is refused where a secret value of the new body does not open, and names the variable", async () => {
    await on.calls.createApp(on.web, { secretEnvVars: { TOKEN: "one" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", secretEnvVars: {} }, "docker_image", "secret_env_vars");
    await using rotated = await startEntityRig({ store: on.store, clusterKey: "another cluster key" });
    const after = callsOver(rotated);
    for (const dryRun of [true, false])
      await assert.rejects(
        after.rollback("app", on.web, { dryRun }),
        refusal("failed_precondition", /secret_env_vars\.TOKEN of app .* can't be opened: .*cluster key/),
      );
    assert.equal((await on.store.get({ kind: "app", name: on.web }))?.revision, 2n);
    await on.calls.rollback("app", on.web);
  });

  it("a rollback of a deleted app brings back its last body, its secrets included, or an older one with the secrets that it had last", async () => {
    await on.calls.createApp(on.web, { secretEnvVars: { TOKEN: "one" } });
    await on.calls.updateApp(on.web, { dockerImage: "shop:2", secretEnvVars: { TOKEN: "two" } }, "docker_image", "secret_env_vars");
    await on.calls.deleteApp(on.web);
    const restored = await on.calls.rollback("app", on.web, { ifRevision: 3n });
    assert.deepEqual([restored.revisionBefore, restored.revision, restored.to, restored.restored], [3n, 4n, 2n, true]);
    assert.deepEqual([await on.imageOf(on.web), await secretsOf(on.rig, on.web)], ["shop:2", { TOKEN: "two" }]);
    assert.deepEqual(
      (await on.calls.revisions("app", on.web)).revisions.map((each) => each.restored),
      [true, false, false, false],
    );
    await on.calls.deleteApp(on.web);
    await on.calls.rollback("app", on.web, { to: 1n });
    assert.deepEqual([await on.imageOf(on.web), await secretsOf(on.rig, on.web)], ["shop:1", { TOKEN: "two" }]);
    await on.calls.deleteApp(on.web);
    await on.calls.rollback("app", on.web, { to: 1n, secrets: true });
    assert.deepEqual(await secretsOf(on.rig, on.web), { TOKEN: "one" });
    assert.equal((await on.store.get({ kind: "app", name: on.web }))?.deleted, false);
  });
});
