import { assertNever } from "../../../common/errors/assert-never.ts";
import type { ErrorKind } from "../../../common/errors/nebula-error.ts";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import type { Step } from "../step.ts";

/** How the engine, or a registry by way of the engine, refused a step. */
export type Refusal = Readonly<{ reason: string; errorKind?: ErrorKind }>;

/** Words that say what is missing or in the way, the first match first; compared without regard to case. */
type Words = readonly Word[];
type Word = readonly [code: FailureCode, words: RegExp];

/** Of any step. */
const NO_SPACE: Word = [FailureCode.NO_SPACE, /no space left on device|disk quota exceeded/i];
const NAME_TAKEN: Word = [FailureCode.NAME_TAKEN, /is already in use by container/i];
const NETWORK_MISSING: Word = [FailureCode.NETWORK_MISSING, /network \S+ not found|could not find (?:a )?network/i];
const IMAGE_MISSING: Word = [FailureCode.IMAGE_MISSING, /no such image/i];

const PULL: Words = [
  [FailureCode.PULL_PLATFORM, /no matching manifest|no match for platform|does not (?:match|provide) the specified platform/i],
  [FailureCode.PULL_NOT_FOUND, /manifest unknown|name unknown|not found|does not exist/i],
  [
    FailureCode.PULL_UNREACHABLE,
    /dial tcp|lookup |connection re(?:fused|set)|no route to host|network is unreachable|timeout|timed out|deadline exceeded|x509|tls: |server gave http|toomanyrequests|too many requests|received unexpected http status: 5|\b50[0234]\b|\beof\b/i,
  ],
];

const CREATE: Words = [
  [FailureCode.INSPECT_FAILED, /^container \w+, which is replaced, can't be inspected/],
  NAME_TAKEN,
  IMAGE_MISSING,
  NETWORK_MISSING,
  [FailureCode.DEVICE_MISSING, /could not select device driver|unresolvable cdi devices/i],
  [FailureCode.MOUNT_REFUSED, /\bmount|bind source path|invalid volume|volume name|error while creating mount source/i],
];

const START: Words = [
  [FailureCode.PORT_TAKEN, /port is already allocated|address already in use|ports are not available|failed to bind (?:host )?port/i],
  NETWORK_MISSING,
  [FailureCode.MOUNT_REFUSED, /error mounting|mount source|bind source path|not a directory: unknown|creating mount/i],
  [FailureCode.DEVICE_MISSING, /gathering device information|could not select device driver|no such device|unresolvable cdi devices/i],
  [FailureCode.COMMAND_MISSING, /executable file not found|exec format error|exec: /i],
  IMAGE_MISSING,
];

/**
 * The code of a step that failed, by the words of the engine or of a registry: their errors have no codes of their own. A failure without
 * known words gets the code of its step.
 */
export function failureCodeOf(step: Step["kind"], { reason, errorKind }: Refusal): FailureCode {
  const told = (words: Words) => [NO_SPACE, ...words].find(([, pattern]) => pattern.test(reason))?.[0];
  switch (step) {
    case "pull":
    case "join_pull":
    case "abort_pull":
      return pullCodeOf(errorKind) ?? told(PULL) ?? FailureCode.OTHER;
    case "create":
      return told(CREATE) ?? FailureCode.CREATE_REFUSED;
    case "start":
      return told(START) ?? FailureCode.START_REFUSED;
    case "connect":
    case "disconnect":
    case "create_network":
    case "remove_network":
      return told([NETWORK_MISSING]) ?? FailureCode.NETWORK_FAILED;
    case "stop":
    case "restart":
      return told([]) ?? FailureCode.STOP_FAILED;
    case "remove":
    case "remove_volume":
    case "remove_image":
      return told([]) ?? FailureCode.REMOVE_FAILED;
    case "rename":
      return told([NAME_TAKEN]) ?? FailureCode.OTHER;
    case "inspect":
      return FailureCode.INSPECT_FAILED;
    case "unpause":
      return FailureCode.PAUSED;
    case "adopt":
    case "give_up_volumes":
    case "run_failed":
    case "forget_unit":
    case "prune_done":
      return FailureCode.OTHER; // notes in the memory, which cannot fail
    default:
      return assertNever(step);
  }
}

/** The code of an error kind that the runtime tells apart by itself (worker/runtime/docker/errors.ts, worker/reconcile/pull-image.ts). */
function pullCodeOf(errorKind: ErrorKind | undefined): FailureCode | undefined {
  switch (errorKind) {
    case "unauthenticated":
      return FailureCode.PULL_LOGIN;
    case "deadline_exceeded":
      return FailureCode.PULL_STALLED;
    case "resource_exhausted":
      return FailureCode.NO_SPACE;
    default:
      return undefined;
  }
}
