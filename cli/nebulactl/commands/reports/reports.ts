import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ReportService } from "../../../../gen/nebula/v1/report_pb.ts";
import type { Noun } from "../../command/command.ts";
import type { NumberFlag, TextFlag } from "../../command/flags.ts";
import { LIST_OUTPUTS } from "../../command/global-flags.ts";
import { reportList } from "../../views/report-view.ts";
import { parseTargetState, STATE } from "../../views/target-state.ts";
import { LAST_ID, OF_GROUP, pageLimit, printSomePages } from "../lists/pages.ts";
import { CREATION_FILTERS, type ReceivedRange, receivedRange, SINCE, UNTIL } from "../lists/time-range.ts";

const DEVICE: TextFlag = {
  kind: "text",
  name: "device",
  aliases: ["hostname"],
  short: "h",
  placeholder: "DEVICE",
  offers: { names: "device" },
  help: "Only of this device.",
};
const CREATION_TIME: NumberFlag = {
  kind: "number",
  name: "report-creation-time",
  short: "r",
  placeholder: "SECONDS",
  min: 0,
  max: 253_402_300_799, // the last second of the year 9999
  help: "The original's time filter, seconds since 1970.",
};
const CREATION_FILTER: TextFlag = {
  kind: "text",
  name: "report-creation-time-filter",
  short: "f",
  placeholder: CREATION_FILTERS.join("|"),
  choices: CREATION_FILTERS,
  help: "How the original's time filter compares. Default: gt.",
};

const UPDATED: TextFlag = {
  kind: "text",
  name: "updated",
  short: "u",
  placeholder: "true|false",
  choices: ["true", "false", "True", "False"],
  help: "Only reports of devices that had changed something, or that had not.",
};

const LIMIT = pageLimit(20);

/** The history of reports. */
export const reports: Noun = {
  kind: "noun",
  name: "reports",
  aliases: ["report"],
  summary: "Lists what devices reported.",
  defaultVerb: "list",
  verbs: [
    {
      kind: "command",
      name: "list",
      summary: "Lists the history of reports, oldest first.",
      flags: [DEVICE, OF_GROUP, STATE, SINCE, UNTIL, LIMIT.flag, LAST_ID, UPDATED, CREATION_TIME, CREATION_FILTER],
      outputs: LIST_OUTPUTS,
      examples: ["nebulactl reports --device pos-0031 --since 2h", "nebulactl reports list --device-group pos --state failed --limit 100 -o json"],
      async run(context) {
        const { values, signal, io } = context;
        const range = receivedRange(
          {
            since: values.text(SINCE),
            until: values.text(UNTIL),
            creationTime: values.number(CREATION_TIME),
            creationFilter: values.text(CREATION_FILTER),
          },
          io.clock.now(),
        );
        const filter = {
          deviceId: values.text(DEVICE) ?? "",
          deviceGroup: values.text(OF_GROUP) ?? "",
          state: parseTargetState(values.text(STATE)),
          ...timestamps(range),
        };
        const client = await context.client(ReportService);
        const fetch = async (pageSize: number, pageToken: string) => {
          const { reports, nextPageToken } = await client.listReports({ ...filter, pageSize, pageToken }, { signal });
          const updated = values.text(UPDATED)?.toLowerCase();
          return { items: updated === undefined ? reports : reports.filter((report) => String(report.updated) === updated), nextPageToken };
        };
        await printSomePages(fetch, LIMIT, reportList, context, values.text(OF_GROUP));
        return 0;
      },
    },
  ],
};

function timestamps({ fromMs, untilMs }: ReceivedRange) {
  return {
    ...(fromMs === undefined ? {} : { receivedFrom: timestampFromMs(fromMs) }),
    ...(untilMs === undefined ? {} : { receivedUntil: timestampFromMs(untilMs) }),
  };
}
