import type { Healthcheck } from "../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "./quote.ts";

/** The shape of what is run. Docker takes any shape, and then counts each check as failed. */
export function validateHealthcheck({ test }: Healthcheck): Violation[] {
  const fault = faultOfTest(test);
  if (fault === undefined) return [];
  return [
    {
      field: "healthcheck.test",
      description: `${fault}; ["CMD", "wget", "-q", "http://localhost/"], ["CMD-SHELL", "wget -q http://localhost/"] or ["NONE"] would do`,
    },
  ];
}

function faultOfTest([kind, ...args]: readonly string[]): string | undefined {
  switch (kind) {
    case undefined:
      return "says nothing to run";
    case "NONE":
      return args.length === 0 ? undefined : "has words after NONE, which stands alone";
    case "CMD":
      return args[0] === undefined || args[0] === "" ? "has no command after CMD" : undefined;
    case "CMD-SHELL":
      return args.length === 1 && args[0]?.trim() !== "" ? undefined : "has to have one line of shell after CMD-SHELL";
    default:
      return `starts with ${quote(kind)}, not with CMD, CMD-SHELL or NONE`;
  }
}
