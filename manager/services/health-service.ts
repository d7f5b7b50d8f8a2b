import { create, toBinary } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { decoded, Undecodable } from "../../common/rpc/service-definition.ts";
import { quote } from "../../common/validation/quote.ts";
import {
  type Health,
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../gen/grpc/health/v1/health_pb.ts";
import type { ServiceHandlers } from "../rpc/call-context.ts";
import { errorStatus } from "../rpc/error-status.ts";

type WatchCall = ServerWritableStream<unknown, unknown>;

/** grpc.health.v1: every service is served, until the manager stops. "" is the manager as a whole. */
export class HealthService {
  readonly #services: ReadonlySet<string>;
  readonly #watching = new Set<WatchCall>();
  #stopping = false;

  /** @param services full names of the services */
  constructor(services: readonly string[]) {
    this.#services = new Set(["", ...services]);
  }

  readonly handlers: ServiceHandlers<typeof Health> = {
    check: async ({ service }) => {
      if (!this.#services.has(service)) throw new NebulaError("not_found", `service: there is no ${quote(service)} here`);
      return { status: this.#status };
    },
    list: async () => ({ statuses: Object.fromEntries([...this.#services].map((service) => [service, { status: this.#status }])) }),
  };

  /** Says the status now, and once more when the manager stops. */
  readonly watch = (call: WatchCall): void => {
    const request = decoded(HealthCheckRequestSchema, call.request);
    if (request instanceof Undecodable) {
      call.emit("error", errorStatus(new NebulaError("invalid_argument", `the request is no HealthCheckRequest: ${request.reason}`)));
      return;
    }
    call.write(encoded(this.#services.has(request.service) ? this.#status : Serving.SERVICE_UNKNOWN));
    if (this.#stopping) {
      call.end();
      return;
    }
    this.#watching.add(call);
    call.on("cancelled", () => this.#watching.delete(call));
  };

  get #status(): Serving {
    return this.#stopping ? Serving.NOT_SERVING : Serving.SERVING;
  }

  /** From now on nothing is served; those who watch are told, and their streams end. */
  stop(): void {
    this.#stopping = true;
    for (const call of this.#watching) {
      call.write(encoded(Serving.NOT_SERVING));
      call.end();
    }
    this.#watching.clear();
  }
}

function encoded(status: Serving): Uint8Array {
  return toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status }));
}
