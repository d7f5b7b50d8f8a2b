import { freePort, onFreePorts } from "./free-port.ts";
import type { TestAuthority } from "./test-authority.ts";
import { TestContainer } from "./test-container.ts";

/**
 * Redis as operators run it where one server is not enough: several processes in one container, each on a port that is
 * the same inside and outside.
 */
export type RedisFleet = Readonly<{ container: TestContainer; ports: readonly number[]; url: string }>;

const COMMON = '--save "" --protected-mode no';

/** A master (the first port), a replica, and three sentinels, which replace a master that is silent for a second. */
export function startSentinels(): Promise<RedisFleet> {
  return onFreePorts(startSentinelsOnce);
}

async function startSentinelsOnce(): Promise<RedisFleet> {
  const ports = await freePorts(5);
  const [master = 0, replica = 0, ...sentinels] = ports;
  const servers = [`redis-server --port ${master} ${COMMON}`, `redis-server --port ${replica} --replicaof 127.0.0.1 ${master} ${COMMON}`];
  const watching = sentinels.map((port) => {
    const lines = [
      `port ${port}`,
      "protected-mode no",
      `sentinel monitor mymaster 127.0.0.1 ${master} 2`,
      "sentinel down-after-milliseconds mymaster 1000",
      "sentinel failover-timeout mymaster 3000",
    ];
    return `printf '${lines.join("\\n")}\\n' > /tmp/sentinel-${port}.conf; redis-server /tmp/sentinel-${port}.conf --sentinel`;
  });
  const container = await startAll(ports, [...servers, ...watching]);
  return { container, ports, url: `redis-sentinel://${sentinels.map((port) => `127.0.0.1:${port}`).join(",")}/mymaster` };
}

/** Three masters, and a replica of each. */
export function startRedisCluster(): Promise<RedisFleet> {
  return onFreePorts(startRedisClusterOnce);
}

async function startRedisClusterOnce(): Promise<RedisFleet> {
  const ports = await freePorts(6);
  const buses = await freePorts(6);
  const servers = ports.map((port, index) => {
    const cluster = `--cluster-enabled yes --cluster-config-file /tmp/nodes-${port}.conf --cluster-node-timeout 2000 --cluster-announce-ip 127.0.0.1`;
    return `redis-server --port ${port} --cluster-port ${buses[index]} ${cluster} ${COMMON}`;
  });
  const nodes = ports.map((port) => `127.0.0.1:${port}`);
  const create = `until redis-cli --cluster create ${nodes.join(" ")} --cluster-replicas 1 --cluster-yes; do sleep 0.5; done`;
  const container = await startAll(ports, [...servers, create]);
  return { container, ports, url: `redis-cluster://${nodes.slice(0, 2).join(",")}` };
}

/** One server that speaks TLS alone, and wants a password. */
export async function startTlsRedis(authority: TestAuthority, password: string): Promise<RedisFleet> {
  const { cert, key } = await authority.issue("redis");
  return onFreePorts(() => startTlsRedisOnce({ cert, key, ca: authority.ca }, password));
}

type Pem = Readonly<Record<"cert" | "key" | "ca", Buffer>>;

async function startTlsRedisOnce({ cert, key, ca }: Pem, password: string): Promise<RedisFleet> {
  const port = await freePort();
  const tls = `--port 0 --tls-port ${port} --tls-cert-file /tmp/cert.pem --tls-key-file /tmp/key.pem --tls-ca-cert-file /tmp/ca.pem --tls-auth-clients no`;
  const container = await TestContainer.start({
    image: "redis:7",
    port,
    env: { CERT: cert.toString(), KEY: key.toString(), CA: ca.toString(), PASSWORD: password },
    command: [
      "bash",
      "-c",
      `echo "$CERT" > /tmp/cert.pem; echo "$KEY" > /tmp/key.pem; echo "$CA" > /tmp/ca.pem; exec redis-server ${tls} --requirepass "$PASSWORD" ${COMMON}`,
    ],
  });
  return { container, ports: [port], url: `rediss://127.0.0.1:${port}` };
}

async function startAll(ports: readonly number[], commands: readonly string[]): Promise<TestContainer> {
  const [port = 0, ...morePorts] = ports;
  return TestContainer.start({
    image: "redis:7",
    port,
    morePorts,
    command: ["bash", "-c", `${commands.map((command) => `(${command}) &`).join("\n")}\nwait`],
  });
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
