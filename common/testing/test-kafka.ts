import { createKafka } from "../bus/kafka/kafka-client.ts";
import { NO_LOGIN } from "../bus/kafka/kafka-login.ts";
import { parseKafkaUrl } from "../bus/kafka/kafka-url.ts";
import type { Kafka } from "../bus/kafka/kafkajs-guards.ts";
import { silentLog } from "../log/log.ts";
import { requireServer } from "./servers.ts";

/** The tests' Kafka, and a client of it past Nebula's driver; its admin is connected and the caller's to close. Skips the suite without a Docker Engine. */
export async function connectTestKafka(
  context: Mocha.Context,
): Promise<Readonly<{ address: string; kafka: Kafka; admin: ReturnType<Kafka["admin"]> }>> {
  const { address } = await requireServer(context, "kafka");
  const kafka = createKafka(parseKafkaUrl(`kafka://${address}/any`), NO_LOGIN, silentLog);
  const admin = kafka.admin();
  await admin.connect();
  return { address, kafka, admin };
}
