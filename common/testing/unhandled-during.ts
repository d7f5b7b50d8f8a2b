/** Runs `act`, and answers the reasons of the rejections that nothing handled meanwhile. They fail no test by themselves then. */
export async function unhandledDuring(act: () => Promise<void>): Promise<unknown[]> {
  const unhandled: unknown[] = [];
  const before = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", (reason) => unhandled.push(reason));
  try {
    await act();
    await new Promise<void>((resolve) => setImmediate(resolve)); // Node tells of them after the microtasks
  } finally {
    process.removeAllListeners("unhandledRejection");
    for (const listener of before) process.on("unhandledRejection", listener);
  }
  return unhandled;
}
