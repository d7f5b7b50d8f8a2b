import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateContainerFields } from "./container-fields.ts";
import { validateContainersPer } from "./containers-per.ts";
import { validateHealthcheck } from "./healthcheck.ts";
import { validateKeys, validateShape } from "./message-shape.ts";
import { validateName } from "./name.ts";
import { normaliseApp } from "./normal-form.ts";
import { validatePorts } from "./ports.ts";
import { validateSize } from "./size.ts";

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
