import { secret, setting, toggle } from "./define-setting.ts";
import { managerAddress, reportOnUpdateOnly } from "./older-names.ts";
import { driverUrl } from "./parse-driver-url.ts";
import { durationBetween, knownDuration } from "./parse-duration.ts";
import { parseServerUrl } from "./parse-server-url.ts";
import { clusterIds, parseDeviceId, parseName, parseText, wholeNumber } from "./parse-word.ts";
import { orUndefined, type Parser, value } from "./parsed.ts";
import { inSeconds, renamed } from "./setting.ts";

const reportInterval: Parser<number> = (text) => (text === "off" ? value(Number.POSITIVE_INFINITY) : durationBetween("1m", "30d")(text));

/** What a device's worker is told: whom to ask, who it is, what it may do on its engine. The reporter shares those about reports. */
export const WORKER_SETTINGS = {
  server: setting({
    variable: "NEBULA_SERVER",
    aliases: [managerAddress],
    parse: parseServerUrl,
    fallback: { protocol: "http", host: "127.0.0.1", port: 8080 },
    defaultText: "http://127.0.0.1:8080",
    parts: ["worker"],
    meaning: "A gateway (`http(s)://`, which the worker asks for the managers) or a manager (`grpc(s)://`). nebulactl reads it, too.",
  }),
  token: secret({
    variable: "NEBULA_TOKEN",
    flag: "token-file",
    aliases: [renamed("NEBULA_MANAGER_AUTH_TOKEN")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The token to log in with; it goes before user and password, and a worker's own device token before it.",
  }),
  user: setting({
    variable: "NEBULA_USER",
    aliases: [renamed("NEBULA_MANAGER_AUTH_USER")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The user to log in as, with NEBULA_PASSWORD.",
  }),
  password: secret({
    variable: "NEBULA_PASSWORD",
    flag: "password-file",
    aliases: [renamed("NEBULA_MANAGER_AUTH_PASSWORD")],
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "The password of NEBULA_USER.",
  }),
  enrollToken: secret({
    variable: "NEBULA_ENROLL_TOKEN",
    flag: "enroll-token-file",
    parse: orUndefined(parseText),
    fallback: undefined,
    defaultText: "none",
    parts: ["worker"],
    meaning: "An enrolment token; used only while the worker has no confirmed device token.",
  }),
  tokenRotation: setting({
    variable: "NEBULA_TOKEN_ROTATION",
    parse: durationBetween("0s", "3650d"),
    fallback: knownDuration("30d"),
    defaultText: "30d",
    parts: ["worker"],
    meaning: "How long the device uses its own token before it exchanges it for a new one; `0s`: for ever.",
  }),
  deviceGroup: setting({
    variable: "NEBULA_DEVICE_GROUP",
    aliases: [renamed("DEVICE_GROUP")],
    parse: orUndefined(parseName),
    fallback: undefined,
    defaultText: "that of the device's own token; without one a worker needs it",
    parts: ["worker"],
    meaning: "The device_group that the device belongs to.",
  }),
  deviceId: setting({
    variable: "NEBULA_DEVICE_ID",
    parse: orUndefined(parseDeviceId),
    fallback: undefined,
    defaultText: "made at the first start from the engine's host name, kept in NEBULA_WORKER_DATA",
    parts: ["worker"],
    meaning: "The device's name; no two devices have the same.",
  }),
  instance: setting({
    variable: "NEBULA_INSTANCE",
    parse: parseName,
    fallback: "main",
    defaultText: "main",
    parts: ["worker"],
    meaning: "Keeps several workers on one engine apart: a worker touches only containers of its own instance.",
  }),
  keepalive: setting({
    variable: "NEBULA_KEEPALIVE",
    parse: durationBetween("10s", "30m"),
    fallback: knownDuration("5m"),
    defaultText: "5m",
    parts: ["worker"],
    meaning: "How often the worker pings on its connection, 10s to 30m.",
  }),
  reportInterval: setting({
    variable: "NEBULA_REPORT_INTERVAL",
    aliases: [reportOnUpdateOnly],
    parse: reportInterval,
    fallback: knownDuration("12h"),
    defaultText: "12h",
    parts: ["worker", "reporter"],
    meaning: "How often a worker reports while nothing changes; `off`: never. The reporter only checks NEBULA_REPORT_TTL against it.",
  }),
  reportTtl: setting({
    variable: "NEBULA_REPORT_TTL",
    parse: durationBetween("2m", "3650d"),
    fallback: knownDuration("26h"),
    defaultText: "26h",
    parts: ["reporter"],
    meaning: "How long the history of reports is kept; at least twice NEBULA_REPORT_INTERVAL.",
  }),
  runtime: setting({
    variable: "NEBULA_RUNTIME",
    parse: driverUrl(["simulated:"], ["docker://", "simulated:?"], "docker:///var/run/docker.sock, docker://host:port, or simulated:"),
    fallback: "docker:///var/run/docker.sock",
    defaultText: "docker:///var/run/docker.sock",
    parts: ["worker"],
    meaning: "The engine that runs the containers; `simulated:` only pretends.",
  }),
  adopt: toggle({
    variable: "NEBULA_ADOPT",
    fallback: true,
    defaultText: "true",
    parts: ["worker"],
    meaning: "Whether a worker of instance main takes over the containers of a worker of v2.",
  }),
  takeOver: setting({
    variable: "NEBULA_TAKE_OVER",
    parse: clusterIds,
    fallback: [],
    parts: ["worker"],
    defaultText: "none",
    meaning:
      "Ids of clusters, separated by commas: this worker takes over the containers that workers of those made on this engine. Without it they are left alone, and reported as `foreign_cluster`. Needed once: the data folder remembers them.",
  }),
  keepImages: setting({
    variable: "NEBULA_KEEP_IMAGES",
    parse: wholeNumber(0, 1000),
    fallback: 1,
    defaultText: "1",
    parts: ["worker"],
    meaning: "How many images of an app that an update replaced are kept.",
  }),
  maxRestartWait: setting({
    variable: "NEBULA_MAX_RESTART_WAIT",
    aliases: [inSeconds("MAX_RESTART_WAIT_IN_SECONDS")],
    parse: durationBetween("0s", "1d"),
    fallback: 0,
    defaultText: "0s",
    parts: ["worker"],
    meaning: "A pull after a change waits a random time up to this, which spares the registry.",
  }),
  workerData: setting({
    variable: "NEBULA_WORKER_DATA",
    flag: "data",
    parse: parseText,
    fallback: "./worker-data",
    defaultText: "./worker-data",
    parts: ["worker"],
    meaning: "The worker's folder: last good config, device id and token, what was pruned and adopted. One worker at a time uses it.",
  }),
};
