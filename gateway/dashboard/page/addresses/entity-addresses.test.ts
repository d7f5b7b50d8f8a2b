import { strict as assert } from "node:assert";
import { matchPath } from "../match-path.ts";
import { devicesFilterOf } from "./devices-filter.ts";
import {
  appAddress,
  CHANGE_PATH,
  changeAddress,
  changeNameOf,
  comparedOf,
  DEVICE_PATH,
  deviceAddress,
  entityAddress,
  groupAddress,
  revisionOf,
} from "./entity-addresses.ts";

describe("the addresses of a device and of a change", () => {
  it("a device is found again by its address, with any characters in its id", () => {
    for (const id of ["pos-7", "till 7/left?", "a%2Fb", "$& <b>", "\u202egro"]) {
      assert.deepEqual(matchPath(DEVICE_PATH, deviceAddress(id)), { id });
    }
  });

  it("a change is found again by its address", () => {
    const change = { kind: "cron_job", name: "night/ly", revision: 18446744073709551615n } as const;
    assert.deepEqual(changeNameOf(matchPath(CHANGE_PATH, changeAddress(change)) ?? {}), change);
  });

  it("an address of another kind, or without a revision, names no change", () => {
    for (const path of ["/ui/changes/user/ann/1", "/ui/changes/app/web/0", "/ui/changes/app/web/-1", "/ui/changes/app/web/x"]) {
      assert.equal(changeNameOf(matchPath(CHANGE_PATH, path) ?? {}), undefined, path);
    }
  });
});

const HOSTILE = "<img src=x>/../\u202e%?#";

describe("the addresses of device_groups and apps", () => {
  it("a name comes back from its address, with any characters in it", () => {
    for (const name of ["web", "a.b-c", HOSTILE]) {
      assert.deepEqual(matchPath("/ui/groups/:name", new URL(groupAddress(name), "http://nebula").pathname), { name });
      assert.deepEqual(matchPath("/ui/apps/:name", new URL(appAddress(name), "http://nebula").pathname), { name });
    }
  });

  it("the filter of the devices of a group comes back from its address, without the group", () => {
    const { pathname, searchParams } = new URL(groupAddress("pos", { group: "other", state: "failed", outdated: true }), "http://nebula");
    assert.equal(pathname, "/ui/groups/pos");
    const { group, state, outdated } = devicesFilterOf(searchParams);
    assert.deepEqual([group, state, outdated], [undefined, "failed", true]);
  });

  it("two revisions come back from their address, and what names none is left out", () => {
    const { searchParams } = new URL(appAddress("web", { from: 3n, to: 12n }), "http://nebula");
    assert.deepEqual(comparedOf(searchParams), { from: 3n, to: 12n });
    for (const query of ["", "from=3", "from=0&to=1", "from=-1&to=2", "from=x&to=2"]) assert.equal(comparedOf(new URLSearchParams(query)), undefined);
  });

  it("a revision is a number of 64 bits in each address, and nothing else", () => {
    const largest = "18446744073709551615";
    for (const text of ["1", "42", largest]) assert.equal(revisionOf(text), BigInt(text));
    for (const text of ["", "0", "01", "-1", "1.0", "x", "18446744073709551616", "99999999999999999999"]) {
      assert.equal(revisionOf(text), undefined, text);
      assert.equal(changeNameOf({ kind: "app", name: "web", revision: text }), undefined, text);
      assert.equal(comparedOf(new URLSearchParams({ from: text, to: "1" })), undefined, text);
    }
    assert.deepEqual(comparedOf(new URLSearchParams({ from: largest, to: "1" })), { from: BigInt(largest), to: 1n });
  });

  it("only what has a page has an address", () => {
    assert.equal(entityAddress("app", "web"), "/ui/apps/web");
    assert.equal(entityAddress("device_group", "pos"), "/ui/groups/pos");
    assert.equal(entityAddress("cron_job", "backup"), undefined);
  });
});
