import type { ChildProcess } from "node:child_process";

const running = new Set<ChildProcess>();
let watching = false;

/** Has a process that a test started end with the tests, also where those are ended by a signal in the middle. Answers the process. */
export function endWithTests<Child extends ChildProcess>(child: Child): Child {
  running.add(child);
  child.once("exit", () => running.delete(child));
  if (!watching) {
    watching = true;
    process.on("exit", () => {
      for (const each of running) each.kill("SIGKILL");
    });
    for (const [signal, code] of [
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const)
      process.on(signal, () => process.exit(code)); // without a handler no exit event comes
  }
  return child;
}
