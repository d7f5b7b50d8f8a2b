import { create, toBinary } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import { decoded, Undecodable } from "../../../common/rpc/service-definition.ts";
import { quote } from "../../../common/text/wording.ts";
import {
  type Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { ServiceHandlers } from "../../rpc/call-context.ts";
import { errorStatus } from "../../rpc/errors.ts";

type WatchCall = ServerWritableStream<unknown, unknown>;

/** The name under which a manager says whether it reaches its store: a gateway prefers those that do. */
export const STORE_SERVICE = "nebula.store";

/** grpc.health.v1: every service is served, until the manager stops. "" is the manager as a whole, which serves without its store too. */
export class HealthService {
  readonly #services: ReadonlySet<string>;
  readonly #storeServing: () => boolean;
  /** The service that a call watches, and the status that it was sent last. */
  readonly #watching = new Map<WatchCall, { readonly service: string; sent: Serving }>();
  #stopping = false;

  /**
   * @param services full names of the services
   * @param storeServing whether the store answers now
   */
  constructor(services: readonly string[], storeServing: () => boolean) {
    this.#services = new Set(["", ...services, STORE_SERVICE]);
    this.#storeServing = storeServing;
  }

  readonly handlers: ServiceHandlers<typeof Health> = {
    check: async ({ service }) => {
      if (!this.#services.has(service)) throw new NebulaError("not_found", `service: there is no ${quote(service)} here`);
      return { status: this.#statusOf(service) };
    },
    list: async () => ({ statuses: Object.fromEntries([...this.#services].map((service) => [service, { status: this.#statusOf(service) }])) }),
  };

  /** Says the status now, and once more when the manager stops. */
  readonly watch = (call: WatchCall): void => {
    const request = decoded(HealthCheckRequestSchema, call.request);
    if (request instanceof Undecodable) {
      call.emit("error", errorStatus(new NebulaError("invalid_argument", `the request is not a valid HealthCheckRequest: ${request.reason}`)));
      return;
    }
    const status = this.#services.has(request.service) ? this.#statusOf(request.service) : Serving.SERVICE_UNKNOWN;
    call.write(encoded(status));
    if (this.#stopping) {
      call.end();
      return;
    }
    this.#watching.set(call, { service: request.service, sent: status });
    call.on("cancelled", () => this.#watching.delete(call));
  };

  #statusOf(service: string): Serving {
    const serves = !this.#stopping && (service !== STORE_SERVICE || this.#storeServing());
    return serves ? Serving.SERVING : Serving.NOT_SERVING;
  }

  /** Whether the store answers may have changed: calls that watch a status are sent another one. */
  refresh(): void {
    for (const [call, watched] of this.#watching) {
      const status = this.#services.has(watched.service) ? this.#statusOf(watched.service) : Serving.SERVICE_UNKNOWN;
      if (status === watched.sent) continue;
      watched.sent = status;
      call.write(encoded(status));
    }
  }

  /** From now on nothing is served; each watcher receives that, and its stream ends. */
  stop(): void {
    this.#stopping = true;
    for (const call of this.#watching.keys()) {
      call.write(encoded(Serving.NOT_SERVING));
      call.end();
    }
    this.#watching.clear();
  }
}

function encoded(status: Serving): Uint8Array {
  return toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status }));
}
