import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type App, AppSchema, PortProtocol } from "../../gen/nebula/v1/app_pb.ts";
import { type HealthcheckSchema, PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { type CronJob, CronJobSchema, CronOverlap } from "../../gen/nebula/v1/cron_job_pb.ts";
import { type DeviceGroup, DeviceGroupSchema } from "../../gen/nebula/v1/device_group_pb.ts";
import { type UserGroup, UserGroupSchema } from "../../gen/nebula/v1/user_group_pb.ts";

/** Names of entities. */
const arbitraryName: fc.Arbitrary<string> = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}$/);

/** Text of any kind that a container can be given: quotes, line ends, other scripts, words that YAML reads as something else. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }).map((value) => value.replaceAll("\0", "")),
  fc.constantFrom(
    "",
    "true",
    "null",
    "~",
    "1.10",
    "0x1F",
    "1_000",
    "- a",
    "a: b",
    "# x",
    " padded ",
    "a\nb\n",
    "<<",
    "=",
    "2026-01-01",
    "\r\n",
    "&a",
    "*a",
    "!t",
    "{}",
    "|",
  ),
);
const strings = fc.array(text, { maxLength: 4 });
/** Without __proto__, which every entry point refuses as a key. */
const map = (key: fc.Arbitrary<string>, value: fc.Arbitrary<string>) =>
  fc.dictionary(
    key.filter((name) => name !== "__proto__"),
    value,
    { maxKeys: 4, noNullPrototype: true },
  );
const envVars = map(
  text.filter((name) => name !== "" && !name.includes("=")),
  text,
);
const secretEnvVars = map(
  text.filter((name) => !name.includes("=")).map((name) => `SECRET ${name}`),
  text,
);
const path = fc.stringMatching(/^\/[a-z]{1,8}$/);
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 1 });

const containerFields = {
  dockerImage: fc.constantFrom("shop:1.5", "registry.example.com:5000/team/shop", `shop@sha256:${"a".repeat(64)}`),
  running: sometimes(fc.boolean()),
  envVars,
  secretEnvVars,
  networks: fc.constantFrom<string[]>([], ["nebula"], ["host"], ["bridge", "backend"]),
  volumes: fc.uniqueArray(path, { maxLength: 3 }).map((paths) => paths.map((at) => `data${at.length}:${at}:ro`)),
  devices: fc.constantFrom<string[]>([], ["/dev/ttyUSB0"], ["/dev/a:/dev/b:rw"]),
  privileged: fc.boolean(),
  command: strings,
  entrypoint: strings,
  cpus: fc.constantFrom(0, 0.5, 2),
  memoryLimitMb: fc.constantFrom(0, 6, 512),
  logging: sometimes(
    fc.constantFrom<{ driver: string; options?: Record<string, string> }>(
      { driver: "none" },
      { driver: "json-file", options: { "max-size": "1m", "max-file": "2" } },
    ),
  ),
  labels: map(fc.stringMatching(/^[a-m]{1,6}$/), text),
  capAdd: fc.constantFrom<string[]>([], ["NET_ADMIN"], ["ALL", "SYS_TIME"]),
  capDrop: fc.constantFrom<string[]>([], ["CHOWN"]),
  ulimits: fc.constantFrom<{ name: string; soft?: bigint; hard?: bigint }[]>(
    [],
    [{ name: "core", soft: -1n, hard: -1n }, { name: "nofile", soft: 1024n, hard: 4096n }, { name: "nproc" }],
  ),
  user: fc.constantFrom("", "1000", "shop:shop"),
  workingDir: fc.constantFrom("", "/app"),
  hostname: fc.constantFrom("", "pos-1"),
  extraHosts: fc.constantFrom<string[]>([], ["db:10.0.0.5"]),
  shmSizeMb: fc.constantFrom(0, 64),
  tmpfs: fc.constantFrom<Record<string, string>>({}, { "/tmp0": "size=64m", "/run0": "" }),
  readOnly: fc.boolean(),
  init: fc.boolean(),
  stopGraceSeconds: sometimes(fc.constantFrom(0, 10, 30)),
  pullPolicy: fc.constantFrom(PullPolicy.UNSPECIFIED, PullPolicy.ALWAYS, PullPolicy.MISSING, PullPolicy.NEVER),
};

/** Apps that pass validation, not in normal form. */
export const arbitraryApp: fc.Arbitrary<App> = fc
  .record({
    name: arbitraryName,
    ...containerFields,
    startingPorts: fc.uniqueArray(fc.integer({ min: 1, max: 600 }), { maxLength: 4 }).chain((ports) =>
      fc.array(fc.constantFrom(PortProtocol.UNSPECIFIED, PortProtocol.TCP, PortProtocol.UDP), { minLength: 4, maxLength: 4 }).map((protocols) =>
        ports.map((port, index) => ({
          hostAddress: ["", "127.0.0.1", "::1"][port % 3] ?? "",
          hostPort: port * 100,
          containerPort: index % 2 === 0 ? port * 100 : 80,
          protocol: protocols[index] ?? PortProtocol.TCP,
        })),
      ),
    ),
    containersPer: sometimes(
      fc.constantFrom<MessageInitShape<typeof AppSchema>["containersPer"]>(
        { per: { case: "server", value: 1 } },
        { per: { case: "server", value: 3 } },
        { per: { case: "cpu", value: 0.5 } },
        { per: { case: "memoryMb", value: 512 } },
      ),
    ),
    rollingRestart: fc.boolean(),
    renewAnonymousVolumes: fc.boolean(),
    minHealthyMs: sometimes(fc.constantFrom(0, 10_000, 500)),
    healthcheck: sometimes(
      fc.constantFrom<MessageInitShape<typeof HealthcheckSchema>>({ test: ["NONE"] }, { test: ["CMD-SHELL", "exit 0"], intervalMs: 100, retries: 2 }),
    ),
  })
  .map((fields) => create(AppSchema, fields));

/** Cron_jobs that pass validation, not in normal form. */
export const arbitraryCronJob: fc.Arbitrary<CronJob> = fc
  .record({
    name: arbitraryName,
    ...containerFields,
    schedule: fc.constantFrom("* * * * *", "@daily", "*/5 0-6 * * mon-fri"),
    timeZone: fc.constantFrom("", "Europe/Berlin"),
    overlap: fc.constantFrom(CronOverlap.UNSPECIFIED, CronOverlap.SKIP, CronOverlap.REPLACE, CronOverlap.ALLOW),
  })
  .map((fields) => create(CronJobSchema, fields));

/** Device_groups that pass validation, not in normal form. */
export const arbitraryDeviceGroup: fc.Arbitrary<DeviceGroup> = fc
  .record({
    name: arbitraryName,
    apps: fc.uniqueArray(arbitraryName, { maxLength: 5 }),
    cronJobs: fc.uniqueArray(arbitraryName, { maxLength: 5 }),
    spread: fc.constantFrom(0, 1, 4),
  })
  .map((fields) => create(DeviceGroupSchema, fields));

const permissions = map(
  fc.oneof(
    arbitraryName,
    arbitraryName.map((prefix) => `${prefix}*`),
    fc.constant("*"),
  ),
  fc.constantFrom("ro", "rw"),
);

/** User_groups that pass validation. */
export const arbitraryUserGroup: fc.Arbitrary<UserGroup> = fc
  .record({
    name: arbitraryName,
    groupMembers: fc.uniqueArray(arbitraryName, { maxLength: 5 }),
    apps: permissions,
    cronJobs: permissions,
    deviceGroups: permissions,
    pruningAllowed: fc.boolean(),
    admin: fc.boolean(),
  })
  .map((fields) => create(UserGroupSchema, fields));
