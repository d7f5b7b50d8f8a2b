import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Healthcheck } from "../../gen/nebula/v1/container_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { quote } from "../text/wording.ts";
import { validateContainerFields } from "./container/container.ts";
import { validateContainersPer } from "./containers-per.ts";
import { validateKeys, validateShape, validateSize } from "./message-shape.ts";
import { validateName } from "./names.ts";
import { normaliseApp } from "./normal-form.ts";
import { validatePorts } from "./ports.ts";

/** Everything that is wrong with an app; empty: it can be stored, and run. */
export function validateApp(app: App): Violation[] {
  const size = validateSize("app", AppSchema, app, normaliseApp);
  if (size.length > 0) return [...validateName(app.name), ...size]; // megabytes of faults would take seconds to tell, and hold up every other call
  return [
    ...validateName(app.name),
    ...validateShape(AppSchema, app),
    ...validateContainerFields(app),
    ...validatePorts(app),
    ...validateContainersPer(app.containersPer),
    ...(app.healthcheck === undefined ? [] : validateHealthcheck(app.healthcheck)),
  ];
}

/** As validateApp, for what is about to be written: it refuses names, too, under which something may be stored already. */
export function validateWrittenApp(app: App): Violation[] {
  return [...validateKeys(AppSchema, app), ...validateApp(app)];
}

/** The shape of what is run. Docker takes any shape, and then counts each check as failed. */
export function validateHealthcheck({ test }: Healthcheck): Violation[] {
  const fault = faultOfTest(test);
  if (fault === undefined) return [];
  return [
    {
      field: "healthcheck.test",
      description: `${fault}; use ["CMD", "wget", "-q", "http://localhost/"], ["CMD-SHELL", "wget -q http://localhost/"] or ["NONE"]`,
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
