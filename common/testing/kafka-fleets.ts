import { freePort, onFreePorts } from "./free-port.ts";
import type { TestAuthority } from "./test-authority.ts";
import { TestContainer } from "./test-container.ts";

/**
 * Kafka as operators run it: with TLS and logins, and with three brokers. All brokers of a fleet are processes of one
 * container, on ports that are the same inside and outside.
 */

/** The versions that the long run tests; `KAFKA=4.4.0 e2e/images/build kafka` makes the image of the second. */
export const KAFKA_VERSIONS = ["3.9.1", "4.4.0"];

const USER = "nebula";

export type SecureKafka = Readonly<{
  container: TestContainer;
  user: string;
  /** host:port of the listener for users and passwords over TLS: SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. */
  login: string;
  /** The same in clear text, without SCRAM-SHA-512. */
  clear: string;
  /** For clients that show a certificate of the authority, over TLS. */
  certificate: string;
}>;

/** One broker whose clients log in as the user `nebula`, or show a certificate. */
export async function startSecureKafka(version: string, authority: TestAuthority, password: string): Promise<SecureKafka> {
  const { cert, key } = await authority.issue("kafka");
  const env = { PASSWORD: password, KEYSTORE: `${key}${cert}`, CA: authority.ca.toString() };
  return onFreePorts(async () => {
    const login = await freePort(3);
    const [clear, certificate] = [login + 1, login + 2];
    const container = await startBrokers({
      version,
      ports: [login],
      morePorts: [clear, certificate],
      format: `--add-scram "SCRAM-SHA-256=[name=${USER},password=$PASSWORD]" --add-scram "SCRAM-SHA-512=[name=${USER},password=$PASSWORD]"`,
      env,
      properties: () => ({
        listeners: `LOGIN://:${login},CLEAR://:${clear},CERTIFICATE://:${certificate},INSIDE://localhost:9092,CONTROLLER://localhost:9093`,
        "advertised.listeners": `LOGIN://127.0.0.1:${login},CLEAR://127.0.0.1:${clear},CERTIFICATE://127.0.0.1:${certificate},INSIDE://localhost:9092`,
        "listener.security.protocol.map": "LOGIN:SASL_SSL,CLEAR:SASL_PLAINTEXT,CERTIFICATE:SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
        "controller.quorum.voters": "1@localhost:9093",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": `${FOLDER}/keystore.pem`,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": `${FOLDER}/ca.pem`,
        "listener.name.certificate.ssl.client.auth": "required",
        ...mechanisms("login", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], password),
        ...mechanisms("clear", ["PLAIN", "SCRAM-SHA-256"], password),
        "offsets.topic.replication.factor": "1",
      }),
    });
    const at = (port: number) => `127.0.0.1:${port}`;
    return { container, user: USER, login: at(login), clear: at(clear), certificate: at(certificate) };
  });
}

/** Returns the settings of the logins that a listener takes. The passwords of SCRAM were given when the storage was formatted. */
function mechanisms(listener: string, names: readonly string[], password: string): Record<string, string> {
  const modules = "org.apache.kafka.common.security";
  const jaas = (name: string) =>
    name === "PLAIN" ? `${modules}.plain.PlainLoginModule required user_${USER}="${password}";` : `${modules}.scram.ScramLoginModule required;`;
  return Object.fromEntries([
    [`listener.name.${listener}.sasl.enabled.mechanisms`, names.join(",")],
    ...names.map((name) => [`listener.name.${listener}.${name.toLowerCase()}.sasl.jaas.config`, jaas(name)]),
  ]);
}

/** A broker of several. Its number is its `node.id`. */
export type Broker = Readonly<{
  id: number;
  /** host:port */
  address: string;
  /** Ends its process at once; its data stays. */
  kill: () => Promise<void>;
  /** Starts it with its data; resolves when it listens. */
  startAgain: () => Promise<void>;
}>;

export type KafkaFleet = Readonly<{ container: TestContainer; brokers: readonly Broker[] }>;

/** Three brokers, each a controller too. One that is silent for 6 s counts as dead. Resolves when each listens. */
export async function startThreeBrokers(version: string): Promise<KafkaFleet> {
  return onFreePorts(async () => {
    const first = await freePort(3);
    const ports = [first, first + 1, first + 2];
    const controllers = ports.map((_, index) => `${index + 1}@localhost:${9091 + index}`).join(",");
    const container = await startBrokers({
      version,
      ports,
      properties: (port, index) => ({
        listeners: `PLAINTEXT://:${port},CONTROLLER://localhost:${9091 + index}`,
        "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": controllers,
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "500",
        "offsets.topic.replication.factor": "3",
      }),
    });
    for (const port of ports) await container.listens(port);
    const brokers = ports.map((port, index) => brokerOf(container, port, index + 1));
    return { container, brokers };
  });
}

function brokerOf(container: TestContainer, port: number, id: number): Broker {
  return {
    id,
    address: `127.0.0.1:${port}`,
    kill: async () => void (await container.run(`kill -9 "$(cat ${FOLDER}/${id}.pid)"`)),
    async startAgain() {
      await container.run(`nohup bash ${FOLDER}/start ${id} </dev/null >/dev/null 2>&1 &`);
      await container.listens(port);
    },
  };
}

type Brokers = Readonly<{
  version: string;
  /** One for each broker. */
  ports: readonly number[];
  morePorts?: readonly number[];
  properties: (port: number, index: number) => Readonly<Record<string, string>>;
  /** More arguments of the command that formats a broker's storage. */
  format?: string;
  env?: Readonly<Record<string, string>>;
}>;

const FOLDER = "/tmp/kafka";
const CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw";
/** The official image has its libraries in one of the folders, the one of e2e/images/build in the other. */
const JAVA = "java -Xmx320m -XX:+UseSerialGC -cp '/opt/kafka/libs/*:/opt/kafka/lib/*'";

/** Starts brokers, each with a properties file of its own and storage that is formatted for it. */
async function startBrokers({ version, ports, morePorts = [], properties, format = "", env = {} }: Brokers): Promise<TestContainer> {
  const [port = 0, ...others] = ports;
  const files = ports.map((each, index) => {
    const lines = { ...COMMON, "node.id": String(index + 1), "log.dirs": `${FOLDER}/data-${index + 1}`, ...properties(each, index) };
    return [
      `PROPERTIES_${index + 1}`,
      Object.entries(lines)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(""),
    ];
  });
  const start = [`echo $$ > ${FOLDER}/$1.pid`, `exec ${JAVA} kafka.Kafka ${FOLDER}/$1.properties >> ${FOLDER}/$1.log 2>&1`];
  const script = [
    `mkdir -p ${FOLDER}`,
    `printf '%s' "$KEYSTORE" > ${FOLDER}/keystore.pem`,
    `printf '%s' "$CA" > ${FOLDER}/ca.pem`,
    `cat > ${FOLDER}/start <<'END'\n${start.join("\n")}\nEND`,
    ...ports.flatMap((_, index) => {
      const file = `${FOLDER}/${index + 1}.properties`;
      return [
        `printf '%s' "$PROPERTIES_${index + 1}" > ${file}`,
        `${JAVA} kafka.tools.StorageTool format -t ${CLUSTER_ID} -c ${file} ${format}`,
        `bash ${FOLDER}/start ${index + 1} &`,
      ];
    }),
    `exec tail -F ${ports.map((_, index) => `${FOLDER}/${index + 1}.log`).join(" ")}`,
  ];
  return TestContainer.start({
    image: `apache/kafka:${version}`,
    port,
    morePorts: [...others, ...morePorts],
    env: { ...env, ...Object.fromEntries(files) },
    entrypoint: ["bash", "-c"],
    command: [script.join("\n")],
  });
}

const COMMON = {
  "process.roles": "broker,controller",
  "controller.listener.names": "CONTROLLER",
  "group.initial.rebalance.delay.ms": "0",
  "offsets.topic.num.partitions": "6",
};
