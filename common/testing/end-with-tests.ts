import type { ChildProcess } from "node:child_process";

const running = new Map<ChildProcess, NodeJS.Signals>();
let watching = false;

/**
 * Has a process that a test started end with the tests, also where those are ended by a signal in the middle. Answers the process.
 * @param by SIGTERM for a process that has processes of its own to end
 */
export function endWithTests<Child extends ChildProcess>(child: Child, by: NodeJS.Signals = "SIGKILL"): Child {
  running.set(child, by);
  child.once("exit", () => running.delete(child));
  if (!watching) {
    watching = true;
    process.on("exit", () => {
      for (const [each, signal] of running) each.kill(signal);
    });
    for (const [signal, code] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const)
      process.on(signal, () => process.exit(code)); // without a handler no exit event comes
  }
  return child;
}
