import { parentPort, workerData } from "node:worker_threads";
import bcrypt from "bcryptjs";

// What a thread of its own runs: workerData is { password, hash }, the answer whether the one is the other's.
const { password, hash }: { password: string; hash: string } = workerData;
parentPort?.postMessage(bcrypt.compareSync(password, hash));
