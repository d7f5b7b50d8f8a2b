import type { Credentials } from "../access/authorization.ts";

/** Every setting of every part, resolved once (flag > environment > file > default) into one readonly object. Times are milliseconds. */
export type Settings = Readonly<{
  httpListen: ListenAddress;
  /** Whether the gateway serves the dashboard. */
  dashboard: boolean;
  /** undefined: off. `given` is false for the default, whose address may be taken with one warning. */
  metricsListen: (ListenAddress & { given: boolean }) | undefined;
  grpcListen: ListenAddress;
  /** host:port that GetShardMap tells workers to dial; undefined: from grpcListen. */
  grpcAdvertise: string | undefined;
  /** The shard's name among the shards; undefined: host name and port. */
  shard: string | undefined;
  /** How long a manager that stops may take to hand its devices over. */
  drainMs: number;
  /** The gateway's managers, host:port each; empty: grpcListen. */
  managers: readonly ServerUrl[];
  redirect: boolean;
  dataDir: string;
  admin: Readonly<{ user: string; password: string | undefined; token: string | undefined }>;
  clusterKey: string | undefined;
  /** The one to come, for `nebula migrate --new-cluster-key`. */
  newClusterKey: string | undefined;
  store: string;
  reports: string;
  redis: string;
  bus: string;
  /** How the servers behind `store`, `reports`, `redis` and `bus` are logged in to. */
  backends: Readonly<Record<"store" | "reports" | "redis" | "bus", BackendLogin>>;
  cacheTimeMs: number;
  server: ServerUrl;
  credentials: Credentials | undefined;
  deviceGroup: string | undefined;
  deviceId: string | undefined;
  instance: string;
  keepaliveMs: number;
  /** Infinity: no report while nothing changes. */
  reportIntervalMs: number;
  reportTtlMs: number;
  /** docker:///var/run/docker.sock, docker://host:port, or simulated: */
  runtime: string;
  adopt: boolean;
  /** Ids of clusters whose containers the worker owns from now on. */
  takeOver: readonly string[];
  keepImages: number;
  maxRestartWaitMs: number;
  authEnabled: boolean;
  insecureNoAuth: boolean;
  auditRetentionMs: number;
  /** How long a session of a user lasts. */
  sessionTtlMs: number;
  /** Devices without a token of their own, per device_group. */
  maxDevicesPerGroup: number;
  enrollToken: string | undefined;
  /** How long a device's token is in use; 0: without end. */
  tokenRotationMs: number;
  workerDataDir: string;
  tls: TlsSettings;
  grpcConnections: ConnectionLimits;
  httpConnections: ConnectionLimits;
  logLevel: "debug" | "info" | "warn" | "error";
  /** undefined: as standard error is a terminal or not. */
  logFormat: "json" | "text" | undefined;
}>;

/** The login of a server that Nebula uses; its user is in the URL. */
export type BackendLogin = Readonly<{
  password: string | undefined;
  /** PEM file of the authorities that its certificate has to be of; undefined: those that come with Node. */
  ca: string | undefined;
  /** PEM files of the certificate and key to show to a server that asks for one. */
  cert?: string | undefined;
  key?: string | undefined;
}>;

/** Files, all PEM; undefined: not given. */
export type TlsSettings = Readonly<{
  cert: string | undefined;
  key: string | undefined;
  clientCa: string | undefined;
  clientAuth: "off" | "optional" | "required";
  /** The CA certificates that a client trusts, and the certificate that it shows. */
  ca: string | undefined;
  clientCert: string | undefined;
  clientKey: string | undefined;
}>;

/** How many connections a listener has open at once. */
export type ConnectionLimits = Readonly<{ inAll: number; perAddress: number }>;

export type ListenAddress = Readonly<{ host: string; port: number }>;

/** Where a server is: a gateway (http) or a manager (grpc). */
export type ServerUrl = Readonly<{ protocol: "http" | "https" | "grpc" | "grpcs"; host: string; port: number }>;
