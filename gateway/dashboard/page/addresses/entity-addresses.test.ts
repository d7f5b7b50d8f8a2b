import { strict as assert } from "node:assert";
import { matchPath } from "../match-path.ts";
import { CHANGE_PATH, changeAddress, changeNameOf, DEVICE_PATH, deviceAddress } from "./entity-addresses.ts";

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
