import { parentPort, workerData } from "node:worker_threads";
import bcrypt from "bcryptjs";

// The program of the thread: workerData is { password, hash }, the answer whether the password matches the hash.
const { password, hash }: { password: string; hash: string } = workerData;
parentPort?.postMessage(bcrypt.compareSync(password, hash));
