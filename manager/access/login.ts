import type { Principal } from "../rpc/call-context.ts";

/** What a credential was found valid by, and is found valid by again. */
export type LoginSource = Readonly<
  /** The configuration: it holds as long as the process. */
  | { kind: "configured" }
  /** A password: that of the user's revision, or any later one with the same hash. */
  | { kind: "password"; revision: bigint; passwordHash: string }
  /** A user's token. */
  | { kind: "user_token"; tokenHash: string }
  /** The token of a device, or an enrolment token: the principal names it. */
  | { kind: "token" }
>;

/** Who a credential stands for. */
export type Verified = Readonly<{
  principal: Principal;
  source: LoginSource;
  /** The user_groups that made the principal's rights; of a principal that is no user of the store: none. */
  userGroups: readonly string[];
}>;

/**
 * A credential that was found valid. There is one for all calls and watches that come with the credential while it is known, so that looking at it again
 * is done once, however many watches it opened.
 */
export type Login = {
  /** Keyed digest of the Authorization header; empty: there was none. */
  readonly id: string;
  verified: Verified;
  /** The round of access (access-rounds.ts) in which it was looked up last. */
  round: number;
  /** Set when it was found to be valid no more. */
  ended: boolean;
};

/** A login that the configuration vouches for: it is never looked up. */
export function configuredLogin(principal: Principal): Login {
  return { id: "", verified: { principal, source: { kind: "configured" }, userGroups: [] }, round: 0, ended: false };
}

/** Whether the login was last looked up before what credentials may do changed. */
export function isBehind({ round, verified, ended }: Login, currentRound: number): boolean {
  return round !== currentRound && !ended && verified.source.kind !== "configured";
}
