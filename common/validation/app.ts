import { type App, AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import type { Violation } from "../errors/nebula-error.ts";
import { validateContainerFields } from "./container-fields.ts";
import { validateContainersPer } from "./containers-per.ts";
import { validateHealthcheck } from "./healthcheck.ts";
import { validateShape } from "./message-shape.ts";
import { validateName } from "./name.ts";
import { normaliseApp } from "./normal-form.ts";
import { validatePorts } from "./ports.ts";
import { validateSize } from "./size.ts";

/** Everything that is wrong with an app; empty: it can be stored, and run. */
export function validateApp(app: App): Violation[] {
  const shape = validateShape(AppSchema, app);
  return [
    ...validateName(app.name),
    ...shape,
    ...validateContainerFields(app),
    ...validatePorts(app),
    ...validateContainersPer(app.containersPer),
    ...(app.healthcheck === undefined ? [] : validateHealthcheck(app.healthcheck)),
    ...(shape.length > 0 ? [] : validateSize("app", AppSchema, normaliseApp(app))), // what is no message can't be encoded either
  ];
}
