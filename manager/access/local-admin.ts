import { hash, timingSafeEqual } from "node:crypto";
import type { Credential } from "./credential-header.ts";
import { tokensOf } from "./presented-token.ts";

/** The admin of the configuration. */
export type AdminSettings = Readonly<{ user: string; password: string; token: string | undefined }>;

/** Whether a credential is the local admin's: by its password, or by its token as sent or base64-decoded. */
export type IsLocalAdmin = (credential: Credential) => boolean;

/** The secrets themselves are not kept, only digests of them under `key`. */
export function createLocalAdmin(admin: AdminSettings, key: string): IsLocalAdmin {
  const digest = (text: string): Buffer => hash("sha256", key + text, "buffer");
  const expected = {
    user: digest(admin.user),
    password: digest(admin.password),
    token: admin.token === undefined || admin.token === "" ? undefined : digest(admin.token),
  };

  /** Every comparison is made on digests of one length, and made whatever the others say: the time taken tells nothing. */
  return (credential) => {
    switch (credential.kind) {
      case "basic": {
        const user = timingSafeEqual(digest(credential.user), expected.user);
        const password = timingSafeEqual(digest(credential.password), expected.password);
        return user && password;
      }
      case "bearer": {
        const { token } = expected;
        return token !== undefined && tokensOf(credential.token).filter((sent) => timingSafeEqual(digest(sent), token)).length > 0;
      }
      case "none":
      case "unreadable":
        return false;
    }
  };
}
