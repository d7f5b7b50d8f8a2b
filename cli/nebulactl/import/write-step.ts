import { Code, ConnectError } from "@connectrpc/connect";
import { assertNever } from "../../../common/errors/assert-never.ts";
import type { Resource } from "../../../common/resources/resource.ts";
import { UserService } from "../../../gen/nebula/v1/user_pb.ts";
import { bindResource, ifFound, revisionOf } from "../apply/bound-resource.ts";
import type { Call, Minimums } from "../entities/entity-calls.ts";
import type { Step } from "./plan-import.ts";
import type { Wanted, WantedUser } from "./wanted.ts";

/** Does what a step says; answers what is stored then. What others changed since the step was planned is an error, not overwritten. */
export async function writeStep(step: Step, call: Call): Promise<Resource> {
  const bound = bindResource(step.wanted.resource);
  switch (step.kind) {
    case "create":
      return (await bound.create(call, minimumsOf(step.wanted))).resource;
    case "update":
      return (await bound.replace(call, revisionOf(step.before), minimumsOf(step.wanted))).resource;
    case "unchanged":
    case "kept":
      return step.before;
    default:
      return assertNever(step);
  }
}

function minimumsOf({ id, pruneId }: Wanted): Minimums {
  return { ...(id === 0n ? {} : { minRevision: id }), ...(pruneId === 0n ? {} : { minPruneId: pruneId }) };
}

/** Whether there is a user of that name. */
export async function hasUser(name: string, { client, signal }: Call): Promise<boolean> {
  return (await ifFound((await client(UserService)).getUser({ name }, { signal }))) !== undefined;
}

/** Creates a user with its old password; answers its new token, or undefined where somebody has the name already. */
export async function writeUser({ name, passwordHash }: WantedUser, { client, signal }: Call): Promise<string | undefined> {
  try {
    return (await (await client(UserService)).createUser({ name, passwordHash }, { signal })).generatedToken;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.AlreadyExists) return undefined;
    throw error;
  }
}
