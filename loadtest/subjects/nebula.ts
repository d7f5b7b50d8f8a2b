import { openManager } from "../servers/open-manager.ts";
import { createPushedApp } from "./pushed-app.ts";
import type { Subject, SubjectOptions } from "./subject.ts";

/** A manager of Nebula's; a push is one API call that changes an app. */
export async function openNebula({ payloadBytes, processors, signal }: SubjectOptions): Promise<Subject> {
  await using opening = new AsyncDisposableStack();
  const manager = opening.use(await openManager({ processors, signal }));
  const app = await createPushedApp(manager, payloadBytes);
  const opened = opening.move();
  return {
    name: "nebula",
    figures: () => manager.figures(),
    target: () => app.target(manager.port),
    push: () => app.push(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
