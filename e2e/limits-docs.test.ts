import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { MOST_BYTES, MOST_REPORTS } from "../common/clock/turn-taking.ts";
import { LARGEST_WATCH_REQUEST } from "../common/config/watch-features.ts";
import { BODY_BEFORE_LOGIN, HELD_BYTES } from "../common/listen/request-budget.ts";
import { MOST_MAP_ENTRIES, MOST_VALUES } from "../common/rpc/count-values.ts";
import { ALL_SETTINGS, SETTINGS } from "../common/settings/settings-table.ts";
import { HISTORY_BYTES_PER_DEVICE, STATUS_KEPT_MS } from "../common/storage/report-store.ts";
import { HANDSHAKE_MS } from "../common/tls/server-tls.ts";
import { HTTP_LIMITS } from "../gateway/http/http-server.ts";
import { LOGIN_BYTES } from "../gateway/http/request-body.ts";
import { CALLS_PER_CHANNEL } from "../gateway/managers/manager-channels.ts";
import { CREDENTIAL_READS } from "../manager/access/limits/credential-reads.ts";
import { REPORTS } from "../manager/access/limits/report-limits.ts";
import { ROTATIONS } from "../manager/access/limits/rotations.ts";
import { MOST_SESSIONS } from "../manager/access/sessions.ts";
import { MOST_BYTES as MIRROR_BYTES } from "../manager/insight/views/group-views.ts";
import { PREFACE_MS } from "../manager/listen/accept.ts";
import { CONNECTION_BYTES, REQUEST_MS } from "../manager/listen/unfinished-calls.ts";
import { WAIT_MS } from "../manager/rpc/call-room.ts";
import { GRPC_LIMITS } from "../manager/rpc/grpc-server.ts";
import { LONGEST_MS, MOST_PER_USER, MOST_STREAMS, UNREAD_MS } from "../manager/rpc/serve-stream.ts";
import { MOST_GROUPS_IN_ORDER, MOST_IN_ORDER } from "../manager/services/devices/list-devices.ts";
import { API_ROOM, FLEET_ROOM } from "../manager/services/served-services.ts";
import { NEW_SESSIONS } from "../manager/services/session-handlers.ts";
import { PARTIAL_BYTES, PARTIAL_MS } from "../manager/watch/message-reader.ts";

const PAGE = readFileSync(new URL("../docs/limits.md", import.meta.url), "utf8");

/** The second cell of the row that begins so. */
function said(row: string): string {
  const line = PAGE.split("\n").find((text) => text.startsWith(`| ${row}`)) ?? assert.fail(`there is no row ${row}`);
  return line.split("|")[2]?.trim() ?? "";
}

describe("docs/limits.md", () => {
  it("docs/limits.md has the numbers of the code", () => {
    assert.equal(HTTP_LIMITS.bodyBytes, GRPC_LIMITS.requestBytes);
    assert.equal(HTTP_LIMITS.requestMs, REQUEST_MS);
    assert.deepEqual(
      Object.entries({
        "body |": `${HTTP_LIMITS.bodyBytes / 2 ** 20} MiB`,
        "values in a body": String(MOST_VALUES),
        "map entries in a body": String(MOST_MAP_ENTRIES),
        "headers over HTTP": `${HTTP_LIMITS.headerBytes / 1024} KiB`,
        "headers over gRPC": `${GRPC_LIMITS.headerBytes / 1024} KiB`,
        "devices that one list puts in order": `${MOST_IN_ORDER}, in ${MOST_GROUPS_IN_ORDER} device_groups`,
        "time to send the headers": `${HTTP_LIMITS.headersMs / 1000} s`,
        "time to send the whole request": `${HTTP_LIMITS.requestMs / 1000} s`,
        "time to read an answer": `${HTTP_LIMITS.unreadMs / 1000} s`,
        "calls of devices that are handled at once": String(FLEET_ROOM.atOnce),
        "such calls that wait": String(FLEET_ROOM.waiting),
        "reports that wait while a config is sent": `${MOST_REPORTS}, or ${MOST_BYTES / 2 ** 20} MiB`,
        "a request on the stream of a watch": `${LARGEST_WATCH_REQUEST / 1024} KiB, not compressed`,
        "time to send reports on the stream of a watch": `${PARTIAL_MS / 1000} s`,
        "requests on the streams of watches": `${PARTIAL_BYTES / 2 ** 20} MiB`,
        "all other calls that are handled at once": String(API_ROOM.atOnce),
        "other calls that wait": String(API_ROOM.waiting),
        "time that a call waits": `${WAIT_MS / 1000} s`,
        "open streams of counts and devices": String(MOST_STREAMS),
        "such streams of one user": String(MOST_PER_USER),
        "summaries of devices that one manager holds": `${MIRROR_BYTES / 2 ** 20} MiB`,
        "length of such a stream": `${LONGEST_MS / 60_000} min`,
        "time to read a message of it": `${UNREAD_MS / 1000} s`,
        "sessions of one user": String(MOST_SESSIONS),
        "TLS handshake": `${HANDSHAKE_MS / 1000} s`,
        "first bytes of HTTP/2": `${PREFACE_MS / 1000} s`,
        "calls at once over gRPC": String(GRPC_LIMITS.streamsPerConnection),
        "calls that the client takes back": `${GRPC_LIMITS.resets.perSecond} a second, ${GRPC_LIMITS.resets.burst} at once`,
        "memory of answers": `${GRPC_LIMITS.connectionMemoryMb} MB`,
      }).filter(([row, number]) => said(row) !== number),
      [],
    );
    const [kib, mib] = [1024, 2 ** 20];
    assert.ok(PAGE.includes(`A body above ${BODY_BEFORE_LOGIN / kib} KiB is read on only after`));
    assert.ok(
      PAGE.includes(
        `hold ${HELD_BYTES.inAll / mib} MiB in all on each of the two ports, and those without a login ${HELD_BYTES.beforeLogin / mib} MiB of it`,
      ),
    );
    assert.ok(PAGE.includes(`that was checked hold ${LOGIN_BYTES / mib} MiB at most`));
    assert.equal(said("requests under way over gRPC, before a login"), `${CONNECTION_BYTES.beforeLogin / kib} KiB`);
    assert.equal(said("reads of unknown logins from the store at once"), `${CREDENTIAL_READS.inFlight}`);
    assert.equal(said("such reads that wait"), `${CREDENTIAL_READS.waiting}`);
    assert.equal(said("requests under way over gRPC, after one"), `${CONNECTION_BYTES.loggedIn / mib} MiB`);
    assert.ok(PAGE.includes(`exchanges its token ${ROTATIONS.inARow} times in a row at most, then once in ${ROTATIONS.oneMoreMs / 1000} s`));
    assert.ok(
      PAGE.includes(
        `A user makes ${NEW_SESSIONS.inARow} sessions (logins of a browser) in a row at most on each manager, then one in ${NEW_SESSIONS.oneMoreMs / 1000} s there`,
      ),
    );
    assert.ok(PAGE.includes(`A device reports ${REPORTS.inARow} times in a row at most, then once in ${REPORTS.oneMoreMs / 1000} s`));
    assert.ok(PAGE.includes(`The history holds ${HISTORY_BYTES_PER_DEVICE / 2 ** 20} MiB of each device`));
    assert.ok(
      PAGE.includes(`at most ${SETTINGS.maxDevicesPerGroup.fallback} devices without a token of their own (\`NEBULA_MAX_DEVICES_PER_GROUP\`)`),
    );
    assert.ok(PAGE.includes(`forgotten ${STATUS_KEPT_MS / 86_400_000} days after their newest report`));
    assert.match(PAGE, new RegExp(`another connection for every ${CALLS_PER_CHANNEL}\\b`));
  });

  it("docs/limits.md has every setting of connections with its default", () => {
    const settings = ALL_SETTINGS.filter(({ variable }) => /CONNECTIONS/.test(variable));
    assert.equal(settings.length, 4);
    for (const { variable, fallback } of settings) assert.equal(said(`\`${variable}\``), String(fallback));
  });
});
