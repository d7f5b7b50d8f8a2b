import { strict as assert } from "node:assert";
import { eventually } from "../common/testing/eventually.ts";
import { ReportService } from "../gen/nebula/v1/report_pb.ts";
import { ConnectedWorker, reportOf } from "../worker/testing/connected-worker.ts";
import { HttpProxy } from "../worker/testing/http-proxy.ts";
import { Server } from "./harness/server.ts";

describe("a device behind a proxy that passes a request on once it has all of it", function () {
  this.timeout(120_000);

  for (const refusal of [undefined, 411]) {
    const does = refusal === undefined ? "holds requests that stream back" : `answers requests that stream by HTTP ${refusal}`;
    it(`a device behind a proxy that ${does} gets its config and every change, and its reports are stored`, async () => {
      await using proxy = await HttpProxy.open();
      proxy.refusal = refusal;
      // One process in any run: the managers of a cluster do not share an address.
      await using server = await Server.start({ file: "cli/nebula.js", env: { NEBULA_GRPC_ADVERTISE: proxy.address } });
      proxy.passTo(`127.0.0.1:${server.grpcPort}`);
      const { api } = server;
      await api.createApp({ name: "web", dockerImage: "shop:1" });
      await api.createGroup("shop", ["web"]);
      const authorization = () => `Basic ${Buffer.from(`admin:${server.password}`).toString("base64")}`;
      await using worker = new ConnectedWorker(proxy.address, { authorization, answerMs: 200, reachMs: 10_000 });
      await worker.next("config");
      const { revision } = await api.updateApp("web", { dockerImage: "shop:2" });
      await eventually(() => worker.events.some((event) => event.kind === "config" && event.config.apps.some((app) => app.revision === revision)));
      assert.deepEqual([proxy.count("WatchAndReport"), proxy.count("WatchConfig")], [1, 1]);

      await worker.watch.submit({ ...reportOf(1n), deviceGroup: "shop", boot: "boot1" }, new AbortController().signal);
      await eventually(async () => {
        const { reports } = await api.channel.unary(
          ReportService.method.listReports,
          { deviceId: "device-7", pageSize: 10 },
          { headers: api.headers },
        );
        return reports.length === 1;
      });
    });
  }
});
