import { setFlagsFromString } from "node:v8";

/**
 * Has the engine allocate every object in the young generation, for the rest of the process; called at its start.
 *
 * By itself the engine allocates in the old generation what most objects of one place in the code turned out to need: what a device that connects makes lives for
 * months. The same places make what a report takes for a moment. Such an object is garbage at once, and is removed at the next full collection; until then all that
 * it leads to counts as alive, and is copied, and kept, too. Measured with 3,000 devices, each report left 4.9 KB in the old generation so, and 0.45 KB without.
 */
export function keepGarbageYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
