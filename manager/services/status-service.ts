import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ClusterIdentity } from "../../common/storage/config-store.ts";
import type { StatusService } from "../../gen/nebula/v1/status_pb.ts";
import { nameOf } from "../access/principal.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";

export type StatusServiceDeps = Readonly<{
  version: string;
  cluster: ClusterIdentity;
  /** Milliseconds since 1970. */
  startedAt: number;
  /** Open watches now. */
  watches: () => number;
}>;

/** StatusService: version, cluster, start and open watches of this manager. */
export function createStatusServiceHandlers({ version, cluster, startedAt, watches }: StatusServiceDeps): ServiceHandlers<typeof StatusService> {
  return {
    getStatus: async (_request, { principal }) => ({
      version,
      cluster: { id: cluster.id, epoch: cluster.epoch },
      startedAt: timestampFromMs(startedAt),
      watches: watches(),
      user: principal.kind === "user" ? nameOf(principal) : "",
      admin: principal.kind === "user" && principal.rights.admin,
    }),
  };
}
