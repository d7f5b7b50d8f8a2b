import type { Alias } from "./setting.ts";

/** NEBULA_MANAGER_HOST, _PORT (80) and _PROTOCOL (http), as a worker of v2 is given them. */
export const managerAddress: Alias = {
  variables: ["NEBULA_MANAGER_HOST", "NEBULA_MANAGER_PORT", "NEBULA_MANAGER_PROTOCOL"],
  read: (env) => {
    const { NEBULA_MANAGER_HOST: host, NEBULA_MANAGER_PORT: port = "80", NEBULA_MANAGER_PROTOCOL: protocol = "http" } = env;
    return host === undefined ? undefined : `${protocol}://${host}:${port}`;
  },
  note: "together; 80 and http by default",
};

/** KAFKA_BOOTSTRAP_SERVERS and KAFKA_TOPIC (nebula-reports), as a reporter of v2 is given them. */
export const kafkaAddress: Alias = {
  variables: ["KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC"],
  read: (env) => {
    const { KAFKA_BOOTSTRAP_SERVERS: servers, KAFKA_TOPIC: topic = "nebula-reports" } = env;
    return servers === undefined ? undefined : `kafka://${servers}/${topic}`;
  },
  note: "together; this version has no driver for Kafka, so KAFKA_BOOTSTRAP_SERVERS ends the start of a server",
};

/** REPORT_ON_UPDATE_ONLY, which has a worker of v2 send no report while nothing changes. */
export const reportOnUpdateOnly: Alias = {
  variables: ["REPORT_ON_UPDATE_ONLY"],
  read: (env) => {
    const text = env.REPORT_ON_UPDATE_ONLY?.toLowerCase();
    if (text === undefined || ["false", "0", "no", "off"].includes(text)) return undefined;
    return ["true", "1", "yes", "on"].includes(text) ? "off" : env.REPORT_ON_UPDATE_ONLY;
  },
  note: "true: off",
};

/** Names of v2 that are taken without a complaint and change nothing, with the reason. */
export const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  CACHE_MAX_SIZE: "the cache holds the device_groups that are watched",
  NEBULA_MANAGER_CHECK_IN_TIME: "a worker receives changes and does not poll",
  NEBULA_MANAGER_REQUEST_TIMEOUT: "calls have limits of their own",
  KAFKA_GROUP_ID: "reports of a worker go to the manager, and this version reads no Kafka topic",
  KAFKA_AUTO_OFFSET_RESET: "for the same reason",
};
