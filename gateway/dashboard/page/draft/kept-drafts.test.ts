import { strict as assert } from "node:assert";
import { emptyApp } from "./app-form.ts";
import { draftOf } from "./draft.ts";
import { KeptDrafts } from "./kept-drafts.ts";

const ADDRESS = "/ui/apps/web/edit";

describe("drafts that are kept", () => {
  it("a draft outlasts a login that ends, and is forgotten when another user logs in", () => {
    const drafts = new KeptDrafts();
    const draft = { draft: draftOf(emptyApp("web"), "yaml"), read: undefined };
    drafts.usedBy("ann");
    drafts.set(ADDRESS, draft);
    drafts.usedBy("ann");
    assert.equal(drafts.get(ADDRESS), draft);
    drafts.usedBy("bob");
    assert.equal(drafts.get(ADDRESS), undefined);
    drafts.usedBy("ann");
    assert.equal(drafts.get(ADDRESS), undefined);
  });

  it("a draft that was applied or left is forgotten", () => {
    const drafts = new KeptDrafts();
    drafts.set(ADDRESS, { draft: draftOf(emptyApp("web"), "form"), read: undefined });
    drafts.delete(ADDRESS);
    assert.equal(drafts.get(ADDRESS), undefined);
  });
});
