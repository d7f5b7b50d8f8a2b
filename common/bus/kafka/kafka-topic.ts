import type { Clock } from "../../clock/clock.ts";
import { NebulaError } from "../../errors/nebula-error.ts";
import type { Log } from "../../log/log.ts";
import { kafkaFailure } from "./kafka-client.ts";
import type { KafkaAddress } from "./kafka-url.ts";
import { ConfigResourceTypes, type Kafka } from "./kafkajs-guards.ts";

// The topic of reports and the topic of records that cannot be read, which `nebula migrate` alone makes and changes.
//
// T1: records of a device are read by one member of the group. Their partition is a hash modulo the number of partitions: while that number changes, records of one
//     device are in two partitions. So the number is recorded, as the number of partitions of the dead topic, and nothing reads a topic that has another one.
// T2: the recorded number changes only when each record is committed: no two members fold one device.

const TOPIC = "nebula-reports";
const GROUP_ID = "nebula-reporter";
const DEFAULT_PARTITIONS = 48;
const WANTED_REPLICAS = 3;
const RETENTION_MS = 48 * 3_600_000;
const DEAD_RETENTION_MS = 14 * 24 * 3_600_000;
/** How long the brokers may take to announce a topic that was made, or to choose a group's coordinator. Milliseconds. */
const SETTLE_LIMIT_MS = 30_000;
const SETTLE_CHECK_MS = 50;
/** How long the other brokers may take to know what `nebula migrate` saw on one. Milliseconds. */
const ANNOUNCE_LIMIT_MS = 5_000;
const ANNOUNCE_CHECK_MS = 250;
/** A record of at most 1,000,000 bytes with its key and framing. */
const LARGEST_BATCH = 1_048_588;
/** A dead record holds a batch as it was fetched. */
const LARGEST_DEAD_BATCH = 4 * LARGEST_BATCH;

type Admin = ReturnType<Kafka["admin"]>;

/** `led`: partitions that have a leader now. */
export type TopicState = Readonly<{ partitions: number; replicas: number; led: number }>;
export type ClusterState = Readonly<{ brokers: number; reports: TopicState | undefined; dead: TopicState | undefined }>;

export function deadTopicOf(topic: string): string {
  return `${topic}-dead`;
}

/** The consumer group of the reporters. Two clusters of Nebula on one Kafka have two topics, and so two groups. */
export function groupIdOf(topic: string): string {
  return topic === TOPIC ? GROUP_ID : `${GROUP_ID}-${topic}`;
}

/** Reads the cluster's state of both topics. */
export async function readCluster(kafka: Kafka, topic: string): Promise<ClusterState> {
  return withAdmin(kafka, async (admin) => {
    const { brokers } = await admin.describeCluster();
    return { brokers: brokers.length, reports: await topicState(admin, topic), dead: await topicState(admin, deadTopicOf(topic)) };
  });
}

/** Further details for the start log; undefined where the brokers, or the rights of this user, do not tell. */
export type ClusterDetails = Readonly<{
  /** Each broker, host:port as it is advertised, with the version that the brokers speak with each other. */
  nodes: readonly Readonly<{ address: string; version: string | undefined }>[];
  /** Replicas that a write waits for, at least. */
  minInSync: string | undefined;
}>;

/** The setting of a broker that holds its version: brokers tell no other. */
const VERSION_SETTING = "inter.broker.protocol.version";

/** Reads what the start log says of the brokers and of the topic of reports. */
export async function readDetails(kafka: Kafka, topic: string): Promise<ClusterDetails> {
  return withAdmin(kafka, async (admin) => {
    const { brokers } = await admin.describeCluster();
    const nodes: { address: string; version: string | undefined }[] = [];
    for (const { nodeId, host, port } of brokers) {
      const version = await settingOf(admin, { type: ConfigResourceTypes.BROKER, name: String(nodeId) }, VERSION_SETTING);
      nodes.push({ address: `${host}:${port}`, version });
    }
    return { nodes, minInSync: await settingOf(admin, { type: ConfigResourceTypes.TOPIC, name: topic }, "min.insync.replicas") };
  });
}

/** One setting of a broker or a topic; undefined where it has none of this name, or refuses to tell. */
async function settingOf(admin: Admin, resource: { type: number; name: string }, name: string): Promise<string | undefined> {
  try {
    const { resources } = await admin.describeConfigs({ resources: [{ ...resource, configNames: [name] }], includeSynonyms: false });
    return resources[0]?.configEntries.find(({ configName }) => configName === name)?.configValue;
  } catch (error) {
    const failure = kafkaFailure(error);
    if (failure === undefined || failure.kind === "unreachable") throw error;
    return undefined;
  }
}

/**
 * Resolves to what the cluster has, once both topics are as `nebula migrate` makes them. Brokers learn of a change one after the other, so one of them may lack
 * topics that migrate has just made: what is wrong is read again for ANNOUNCE_LIMIT_MS.
 * @param read reads what any broker knows of the cluster
 * @throws NebulaError failed_precondition where `nebula migrate` has to make the topics or to record their partitions first (T1)
 */
export async function announcedTopics(
  read: () => Promise<ClusterState>,
  { topic, clock, signal }: Readonly<{ topic: string; clock: Clock; signal: AbortSignal }>,
): Promise<ClusterState> {
  const end = clock.monotonic() + ANNOUNCE_LIMIT_MS;
  for (;;) {
    const cluster = await read();
    const flaw = flawOf(cluster, topic);
    if (flaw === undefined) return cluster;
    if (clock.monotonic() >= end) throw new NebulaError("failed_precondition", flaw);
    await clock.sleep(ANNOUNCE_CHECK_MS, signal);
  }
}

/** undefined: both topics are as `nebula migrate` makes them. */
function flawOf({ reports, dead }: ClusterState, topic: string): string | undefined {
  if (reports === undefined) return `the topic "${topic}" does not exist; run "nebula migrate" first`;
  if (dead === undefined) return `the topic "${deadTopicOf(topic)}" does not exist; run "nebula migrate" first`;
  if (reports.partitions === dead.partitions) return undefined;
  const why = `the topic "${topic}" has ${reports.partitions} partitions, and ${dead.partitions} are recorded`;
  return `${why}; stop the managers, let a reporter of before read all, and run "nebula migrate"`;
}

export type MigrateOptions = Readonly<{ clock: Clock; log: Log; signal: AbortSignal }>;

/**
 * Makes both topics, or gives them what they lack: partitions that the URL asks for, the time of the broker, 48 hours of retention. Logs what it did.
 * @throws NebulaError failed_precondition where partitions cannot change yet (T2)
 */
export async function migrateTopics(kafka: Kafka, address: KafkaAddress, { clock, log, signal }: MigrateOptions): Promise<void> {
  const { topic } = address;
  const dead = deadTopicOf(topic);
  await withAdmin(kafka, async (admin) => {
    const brokers = (await admin.describeCluster()).brokers.length;
    const replicas = Math.min(WANTED_REPLICAS, brokers);
    if (replicas < WANTED_REPLICAS) log.warn({ brokers, replicas }, "Kafka has fewer than 3 brokers: reports have fewer than 3 replicas");
    const before = await topicState(admin, topic);
    const recorded = await topicState(admin, dead);
    const partitions = address.partitions ?? before?.partitions ?? DEFAULT_PARTITIONS;
    const settled = () => AbortSignal.any([signal, AbortSignal.timeout(SETTLE_LIMIT_MS)]);
    if (before !== undefined && mayGrow(topic, before.partitions, recorded?.partitions, partitions)) {
      assertCommitted(topic, await admin.fetchTopicOffsets(topic), await committedOffsets(admin, topic, clock, settled()));
    }
    const minInSync = replicas >= WANTED_REPLICAS ? 2 : 1;
    await makeTopic(admin, { topic, partitions, replicas, config: { ...reportsConfig(), "min.insync.replicas": String(minInSync) } }, before, log);
    await makeTopic(admin, { topic: dead, partitions, replicas, config: deadConfig() }, recorded, log); // T1: last, because it records the number
    const within = settled();
    while (!isSettled(await topicState(admin, topic), partitions) || !isSettled(await topicState(admin, dead), partitions))
      await clock.sleep(SETTLE_CHECK_MS, within);
  });
}

function isSettled(state: TopicState | undefined, partitions: number): boolean {
  return state !== undefined && state.partitions === partitions && state.led === partitions;
}

function reportsConfig(): Record<string, string> {
  return {
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "gzip",
    "cleanup.policy": "delete",
    "retention.ms": String(RETENTION_MS),
    "max.message.bytes": String(LARGEST_BATCH),
  };
}

function deadConfig(): Record<string, string> {
  return { "cleanup.policy": "delete", "retention.ms": String(DEAD_RETENTION_MS), "max.message.bytes": String(LARGEST_DEAD_BATCH) };
}

/** Values of which an operator may have chosen a larger one, which stays. */
const AT_LEAST = ["retention.ms", "max.message.bytes", "min.insync.replicas"];

type WantedTopic = Readonly<{ topic: string; partitions: number; replicas: number; config: Readonly<Record<string, string>> }>;

async function makeTopic(admin: Admin, wanted: WantedTopic, present: TopicState | undefined, log: Log): Promise<void> {
  const { topic, partitions, replicas, config } = wanted;
  if (present === undefined) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: replicas, configEntries }], waitForLeaders: false });
    log.info({ topic, partitions, replicas }, "topic made");
    return;
  }
  if (present.partitions < partitions) {
    await admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] });
    log.info({ topic, from: present.partitions, to: partitions }, "partitions added");
  }
  if (present.replicas < replicas) log.warn({ topic, replicas: present.replicas }, `the topic has fewer than ${replicas} replicas: reassign it`);
  await alterConfig(admin, topic, config, log);
}

/** The request of kafkajs replaces all of a topic's configuration: what an operator set besides is sent again. */
async function alterConfig(admin: Admin, topic: string, wanted: Readonly<Record<string, string>>, log: Log): Promise<void> {
  const type = ConfigResourceTypes.TOPIC;
  const { resources } = await admin.describeConfigs({ resources: [{ type, name: topic }], includeSynonyms: false });
  const entries = resources[0]?.configEntries ?? [];
  const now = new Map(entries.map((entry) => [entry.configName, entry.configValue]));
  const changes = Object.entries(wanted).filter(([name, value]) => {
    const present = now.get(name);
    return present !== value && !(AT_LEAST.includes(name) && isAtLeast(present, value));
  });
  if (changes.length === 0) return;
  const own = entries.filter((entry) => entry.configSource === TOPIC_SOURCE).map((entry): [string, string] => [entry.configName, entry.configValue]);
  const configEntries = [...new Map([...own, ...changes])].map(([name, value]) => ({ name, value }));
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] });
  log.info({ topic, changed: changes.map(([name]) => name) }, "configuration of a topic changed");
}

/** The source of a value that was set for the topic itself (Kafka's DescribeConfigs). */
const TOPIC_SOURCE = 1;

/** A retention of -1 is without end. */
function isAtLeast(present: string | undefined, value: string): boolean {
  return present !== undefined && (Number(present) === -1 || Number(present) >= Number(value));
}

/** Whether partitions are added, or their number is recorded. @throws NebulaError failed_precondition where partitions would be removed */
function mayGrow(topic: string, present: number, recorded: number | undefined, wanted: number): boolean {
  if (wanted < present)
    throw new NebulaError("failed_precondition", `the topic "${topic}" has ${present} partitions, and Kafka removes none; use partitions=${present}`);
  return wanted !== present || (recorded !== undefined && recorded !== present);
}

type PartitionEnds = Awaited<ReturnType<Admin["fetchTopicOffsets"]>>;

/** @throws NebulaError failed_precondition while a record of the former partitions is not committed (T2) */
function assertCommitted(topic: string, ends: PartitionEnds, committed: ReadonlyMap<number, bigint>): void {
  const left = ends.reduce((sum, { partition, low, high }) => {
    const from = committed.get(partition) ?? -1n;
    return sum + BigInt(high) - (from < BigInt(low) ? BigInt(low) : from);
  }, 0n);
  if (left <= 0n) return;
  const why = `${left} records of the topic "${topic}" are not committed, and the partitions of a device change with their number`;
  throw new NebulaError("failed_precondition", `${why}; stop the managers, let the reporter read all, and run "nebula migrate" again`);
}

/** Answers of a Kafka that has had no consumer group yet, or whose brokers are just choosing the coordinator of this one. */
const COORDINATOR_ON_ITS_WAY = ["NOT_COORDINATOR_FOR_GROUP", "GROUP_COORDINATOR_NOT_AVAILABLE", "GROUP_LOAD_IN_PROGRESS"];

/** Resolves with the offsets that the reporters have committed, by partition; -1: nothing yet. */
async function committedOffsets(admin: Admin, topic: string, clock: Clock, within: AbortSignal): Promise<ReadonlyMap<number, bigint>> {
  for (;;) {
    try {
      const [group] = await admin.fetchOffsets({ groupId: groupIdOf(topic), topics: [topic] });
      return new Map(group?.partitions.map(({ partition, offset }) => [partition, BigInt(offset)]));
    } catch (error) {
      const isOnItsWay = error instanceof Error && "type" in error && COORDINATOR_ON_ITS_WAY.some((type) => type === error.type);
      if (!isOnItsWay || within.aborted) throw error;
      await clock.sleep(SETTLE_CHECK_MS, within).catch(() => {});
    }
  }
}

async function topicState(admin: Admin, topic: string): Promise<TopicState | undefined> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const partitions = topics.find(({ name }) => name === topic)?.partitions ?? [];
    if (partitions.length === 0) return undefined;
    const led = partitions.filter(({ leader }) => leader >= 0).length;
    return { partitions: partitions.length, replicas: Math.min(...partitions.map(({ replicas }) => replicas.length)), led };
  } catch (error) {
    if (error instanceof Error && "type" in error && error.type === "UNKNOWN_TOPIC_OR_PARTITION") return undefined;
    throw error;
  }
}

async function withAdmin<T>(kafka: Kafka, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await use(admin);
  } finally {
    await admin.disconnect().catch(() => {});
  }
}
