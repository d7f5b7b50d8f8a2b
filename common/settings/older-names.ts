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

/** The address of Kafka and the user's name, as a reporter of v2 is given them. */
export const kafkaAddress: Alias = {
  variables: ["KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_PLAIN_USERNAME"],
  read: (env) => {
    const { KAFKA_BOOTSTRAP_SERVERS: servers, KAFKA_TOPIC: topic = "nebula-reports", KAFKA_SECURITY_PROTOCOL: protocol = "PLAINTEXT" } = env;
    if (servers === undefined) return undefined;
    const { KAFKA_SASL_MECHANISM: mechanism, KAFKA_SASL_PLAIN_USERNAME: user } = env;
    const parameters = new URLSearchParams({
      ...(/SSL$/i.test(protocol) ? { tls: "true" } : {}),
      ...(/^SASL/i.test(protocol) ? { ...(user === undefined ? {} : { user }), ...(mechanism === undefined ? {} : { mechanism }) } : {}),
    });
    return `kafka://${servers.replaceAll(" ", "")}/${topic}${parameters.size === 0 ? "" : `?${parameters}`}`;
  },
  note: "together; nebula-reports and PLAINTEXT by default",
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
  KAFKA_GROUP_ID: "the consumer group is nebula-reporter, or named after the topic",
  KAFKA_AUTO_OFFSET_RESET: "a reporter without a committed offset begins with the oldest record",
};
