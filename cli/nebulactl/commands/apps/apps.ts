import { containersPerToV2 } from "../../../../common/v2/containers-per.ts";
import { startingPortsToV2 } from "../../../../common/v2/starting-ports.ts";
import { type App, AppService } from "../../../../gen/nebula/v1/app_pb.ts";
import type { Command, Noun } from "../../command/command.ts";
import type { CommandContext } from "../../command/context.ts";
import type { TextFlag } from "../../command/flags.ts";
import { OUTPUTS } from "../../command/global-flags.ts";
import { renderValue } from "../../output/render-value.ts";
import { appKind } from "../entities/app-kind.ts";
import { IF_REVISION, ifRevision } from "../entities/if-revision.ts";
import { answered, condition } from "../entities/kind.ts";
import { entityNoun } from "../entities/noun.ts";
import { WAIT_FLAGS, waitFor, waitOptions } from "../wait/wait-flags.ts";

const APP: TextFlag = { kind: "text", name: "app", short: "a", placeholder: "APP", offers: { names: "app" }, help: "The name of the app." };

type Request = Readonly<{ name: string; ifRevision?: bigint }>;

/** Apps: what devices run all the time. */
export const apps: Noun = entityNoun<App>({
  kind: appKind,
  name: "apps",
  aliases: ["app"],
  summary: "Manages apps: what devices run all the time.",
  exampleName: "web",
  nameFlag: APP,
  header: ["APP", "REVISION", "IMAGE", "RUNNING", "PORTS", "CONTAINERS"],
  row: (app) => [app.name, String(app.revision), app.dockerImage, app.running === false ? "no" : "yes", portsText(app), containersText(app)],
  async changes() {
    const [fields, { groupsWithApp }, { IMAGE }] = await Promise.all([
      import("../../fields/app-fields.ts"),
      import("../entities/in-use.ts"),
      import("../../fields/container-fields.ts"),
    ]);
    return {
      requiredAtCreate: [IMAGE],
      redeploys: true,
      fieldsOfCreate: fields.appFieldsOfCreate,
      fieldsOfUpdate: fields.appFieldsOfUpdate,
      findUse: groupsWithApp,
      examples: {
        create: [
          "nebulactl apps create web --image shop:1.5 --starting-ports 8080:80 --env REGION=eu",
          "nebulactl apps create --app web --image shop:1.5 --containers-per cpu:1 --rolling",
        ],
        update: [
          "nebulactl apps update web --image shop:1.6",
          "nebulactl apps update web --env REGION=us --unset-env DEBUG",
          "nebulactl apps update web --redeploy",
        ],
      },
    };
  },
  moreVerbs: [
    powerVerb("start", "Starts an app.", async ({ client, signal }, request) => (await (await client(AppService)).startApp(request, { signal })).app),
    powerVerb(
      "stop",
      "Stops an app and removes its containers.",
      async ({ client, signal }, request) => (await (await client(AppService)).stopApp(request, { signal })).app,
    ),
    powerVerb(
      "restart",
      "Re-creates the containers of an app after pulling the image again.",
      async ({ client, signal }, request) => (await (await client(AppService)).restartApp(request, { signal })).app,
    ),
  ],
});

function powerVerb(name: string, summary: string, call: (context: CommandContext, request: Request) => Promise<App | undefined>): Command {
  return {
    kind: "command",
    name,
    summary,
    arguments: [{ label: "APP", flag: APP }],
    required: [APP],
    flags: [IF_REVISION, ...WAIT_FLAGS],
    outputs: OUTPUTS,
    examples: [`nebulactl apps ${name} web`, `nebulactl apps ${name} web --wait`],
    async run(context) {
      const waiting = await waitOptions(context);
      const app = answered(await call(context, { name: context.values.text(APP) ?? "", ...condition(ifRevision(context)) }), "app");
      const text = () => `app ${app.name} ${name === "stop" ? "stopped" : `${name}ed`}, revision ${app.revision}\n`;
      context.io.out(
        await renderValue(
          { text, json: async () => (await import("../../views/entity-view.ts")).entityJson(appKind.toResource(app)) },
          context.output,
          context.paint,
        ),
      );
      if (waiting === undefined) return 0;
      return await waitFor(waiting, (await import("../wait/followed.ts")).followedWrite(undefined, appKind.toResource(app)), context);
    },
  };
}

/** `80,8080:80,53/udp`, the form of --starting_ports. */
function portsText({ startingPorts }: App): string {
  return startingPortsToV2(startingPorts)
    .map((port) =>
      typeof port === "object"
        ? Object.entries(port)
            .map(([host, container]) => `${host}:${container}`)
            .join(",")
        : String(port),
    )
    .join(",");
}

/** `server:1`, the form of --containers_per. */
function containersText({ containersPer }: App): string {
  return Object.entries(containersPerToV2(containersPer))
    .map(([kind, number]) => `${kind}:${number}`)
    .join("");
}
