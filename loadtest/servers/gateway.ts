import { Registry } from "prom-client";
import { systemClock } from "../../common/clock/system-clock.ts";
import { createMemoryFeed } from "../../common/feed/memory-feed.ts";
import { createLog } from "../../common/log/log.ts";
import { keepGarbageYoung } from "../../common/young-garbage.ts";
import { startGateway } from "../../gateway/main.ts";
import { BENCH_CLUSTER_KEY } from "./bench-secrets.ts";

/** The gateway under measurement, alone in its process, with authentication on and the log as an operator has it. Run by the bench, with the manager's port as its argument. */

keepGarbageYoung(); // as cli/nebula.ts does
const [, , managerPort = ""] = process.argv;

process.on("disconnect", () => process.exit());

const log = createLog({ level: "info", part: "gateway" });
const gateway = await startGateway({
  settings: {
    httpListen: { host: "127.0.0.1", port: 0 },
    grpcListen: { host: "127.0.0.1", port: 0 },
    managers: [{ protocol: "grpc", host: "127.0.0.1", port: Number(managerPort) }],
    authEnabled: true,
  },
  secrets: { clusterKey: BENCH_CLUSTER_KEY },
  changeFeed: createMemoryFeed({ log }),
  clock: systemClock,
  log,
  registry: new Registry(),
});
process.send?.({ kind: "ready", port: gateway.address.port });
