import type { App } from "../../../../gen/nebula/v1/app_pb.ts";
import type { Draft } from "./draft.ts";

/** A draft with the stored app that it began with, undefined if there was none. */
export type KeptDraft = Readonly<{ draft: Draft; read: App | undefined }>;

/**
 * The drafts that are not applied yet, by address. A draft outlasts a login that ends, and is forgotten when another
 * user logs in: secret values may be in it.
 */
export class KeptDrafts {
  readonly #drafts = new Map<string, KeptDraft>();
  #user: string | undefined;

  /** The page is used by this user from now on. */
  usedBy(user: string): void {
    if (user !== this.#user) this.#drafts.clear();
    this.#user = user;
  }

  get(address: string): KeptDraft | undefined {
    return this.#drafts.get(address);
  }

  set(address: string, draft: KeptDraft): void {
    this.#drafts.set(address, draft);
  }

  delete(address: string): void {
    this.#drafts.delete(address);
  }
}
