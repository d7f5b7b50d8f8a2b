import { strict as assert } from "node:assert";
import { create, toJson } from "@bufbuild/protobuf";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { CronJobSchema } from "../../../gen/nebula/v1/cron_job_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { parseFlags } from "../command/parse-flags.ts";
import { appFieldsOfCreate, appFieldsOfUpdate } from "./app-fields.ts";
import { cronJobFieldsOfUpdate } from "./cron-job-fields.ts";
import { type Field, type FieldInput, readFields } from "./field.ts";
import { deviceGroupFields, userGroupFieldsOfCreate, userGroupFieldsOfUpdate } from "./group-fields.ts";

const noInput: FieldInput = { readFile: (path) => assert.fail(`${path} was read`), warn: () => {} };

function read<M>(fields: readonly Field<M>[], args: readonly string[], input = noInput) {
  const parsed = parseFlags(
    args,
    fields.flatMap(({ flags }) => flags),
    "test",
  );
  if (parsed.kind === "wrong") throw new Error(parsed.message);
  return readFields(fields, parsed.values, input);
}

function app(...args: string[]) {
  const { paths, value } = read(appFieldsOfUpdate, args);
  return { paths, value: toJson(AppSchema, Object.assign(create(AppSchema), value), { useProtoFieldName: true }) };
}

describe("the flags of an app", () => {
  it("the flags of an app are the original's, with its letters", () => {
    const { paths, value } = app(
      ..."-i shop:1.5 -p 80,8080:81 -c cpu:0.5 -e K:V,K2:http://x:1 -s -n host -v a:/b,c:/d:ro -d /dev/x -P -R".split(" "),
    );
    assert.deepEqual(value, {
      docker_image: "shop:1.5",
      running: false,
      networks: ["host"],
      volumes: ["a:/b", "c:/d:ro"],
      devices: ["/dev/x"],
      privileged: true,
      env_vars: { K: "V", K2: "http://x:1" },
      starting_ports: [
        { host_port: 80, container_port: 80, protocol: "PORT_PROTOCOL_TCP" },
        { host_port: 8080, container_port: 81, protocol: "PORT_PROTOCOL_TCP" },
      ],
      containers_per: { cpu: 0.5 },
      rolling_restart: true,
    });
    assert.deepEqual([...paths].sort(), [
      "containers_per",
      "devices",
      "docker_image",
      "env_vars",
      "networks",
      "privileged",
      "rolling_restart",
      "running",
      "starting_ports",
      "volumes",
    ]);
  });

  it("the flags of an app name only the fields that were given", () => {
    assert.deepEqual(app("--running"), { paths: ["running"], value: { running: true } });
    assert.deepEqual(app("--unprivileged", "--restart").paths, ["privileged", "rolling_restart"]);
    assert.deepEqual(app(), { paths: [], value: {} });
  });

  it("the flags of an app empty a list with nothing or [], which for networks leaves nebula, as in v2", () => {
    assert.deepEqual(app("--volumes", "", "--devices", "[]", "--networks", ""), {
      paths: ["networks", "volumes", "devices"],
      value: { networks: ["nebula"] },
    });
  });

  it("the flags of an app set and unset single variables, and leave the others", () => {
    assert.deepEqual(app("--env", "A.B=1=2", "--unset-env", "C"), { paths: ["env_vars.A.B", "env_vars.C"], value: { env_vars: { "A.B": "1=2" } } });
    assert.deepEqual(app("--env_vars", "A:1", "--env", "B=2"), { paths: ["env_vars"], value: { env_vars: { A: "1", B: "2" } } });
    assert.throws(() => read(appFieldsOfCreate, ["--unset-env", "C"]), /unknown flag --unset-env/);
  });

  it("the flags of an app take -e and --env as docker does, and -e and --env_vars as the original does", () => {
    const pairs = { paths: ["env_vars.FOO", "env_vars.URL"], value: { env_vars: { FOO: "bar", URL: "http://x:1/?a=b,c" } } };
    assert.deepEqual(app("-e", "FOO=bar", "-e", "URL=http://x:1/?a=b,c"), pairs);
    assert.deepEqual(app("--env", "FOO=bar", "--env=URL=http://x:1/?a=b,c"), pairs);
    assert.deepEqual(app("-e", "EMPTY="), { paths: ["env_vars.EMPTY"], value: { env_vars: { EMPTY: "" } } });
    const whole = { paths: ["env_vars"], value: { env_vars: { FOO: "bar", URL: "http://x:1/?a=b" } } };
    assert.deepEqual(app("-e", "FOO:bar,URL:http://x:1/?a=b"), whole);
    assert.deepEqual(app("--env_vars", "FOO:bar", "--env_vars", "URL:http://x:1/?a=b"), whole);
    assert.deepEqual(app("-e", ""), { paths: ["env_vars"], value: {} });
  });

  it("the flags of an app refuse a variable without a value: none comes from the caller's environment", () => {
    for (const args of [
      ["-e", "HOME"],
      ["--env", "HOME"],
      ["--env_vars", "HOME"],
      ["-e", "A=1", "-e", "HOME"],
    ]) {
      assert.throws(() => app(...args), /invalid variable "HOME" in --env; use HOME=VALUE, or --secret-env-file/, args.join(" "));
    }
  });

  it("the flags of an app add up where a list is given several times", () => {
    const ports = app("-p", "8080:80", "-p", "81", "-p", "53/udp,127.0.0.1:8081:80", "-p", "[::1]:8082:80");
    assert.deepEqual(ports, {
      paths: ["starting_ports"],
      value: {
        starting_ports: [
          { host_port: 8080, container_port: 80, protocol: "PORT_PROTOCOL_TCP" },
          { host_port: 81, container_port: 81, protocol: "PORT_PROTOCOL_TCP" },
          { host_port: 53, container_port: 53, protocol: "PORT_PROTOCOL_UDP" },
          { host_port: 8081, container_port: 80, protocol: "PORT_PROTOCOL_TCP", host_address: "127.0.0.1" },
          { host_port: 8082, container_port: 80, protocol: "PORT_PROTOCOL_TCP", host_address: "::1" },
        ],
      },
    });
    const lists = app("-v", "/a:/b:ro", "-v", "/c:/d,/e:/f", "-d", "/dev/a", "--device", '["/dev/b"]', "-n", "x", "--networks", "y");
    assert.deepEqual(lists, {
      paths: ["networks", "volumes", "devices"],
      value: { networks: ["x", "y"], volumes: ["/a:/b:ro", "/c:/d", "/e:/f"], devices: ["/dev/a", "/dev/b"] },
    });
    assert.deepEqual(app("--cap-add", "A", "--cap-add", "B", "--extra-hosts", "a:10.0.0.1", "--extra-hosts", "b:10.0.0.2").value, {
      cap_add: ["A", "B"],
      extra_hosts: ["a:10.0.0.1", "b:10.0.0.2"],
    });
    assert.deepEqual(read(deviceGroupFields, ["-a", "web", "--apps", "api", "-c", "x,y", "-c", "z"]).value, {
      apps: ["web", "api"],
      cronJobs: ["x", "y", "z"],
    });
  });

  it("the flags of an app set and unset single secret variables, from files that ps does not show, and never repeat a value", () => {
    const warnings: string[] = [];
    const files: Readonly<Record<string, string>> = {
      "a.env": "\uFEFF# tokens\r\nTOKEN=a=b #c \r\n\n  KEY = x\n",
      "b.env": "TOKEN=2",
      wrong: "A=1\nhunter2",
    };
    const input: FieldInput = { readFile: (path) => files[path] ?? "", warn: (sentence) => void warnings.push(sentence) };
    const secret = (...args: string[]) => read(appFieldsOfUpdate, args, input);
    assert.deepEqual(secret("--secret-env-file", "a.env", "--unset-secret-env", "OLD.1"), {
      paths: ["secret_env_vars.TOKEN", "secret_env_vars.KEY", "secret_env_vars.OLD.1"],
      value: { secretEnvVars: { TOKEN: "a=b #c ", KEY: " x" } },
    });
    assert.deepEqual(warnings, []);
    assert.deepEqual(secret("--secret-env-file", "a.env", "--secret-env-file", "b.env", "--secret-env", "KEY=3").value, {
      secretEnvVars: { TOKEN: "2", KEY: "3" },
    });
    assert.match(warnings.join(), /list of processes/);
    const withoutValue = (error: unknown) => error instanceof Error && !error.message.includes("hunter2") && /use NAME=value/.test(error.message);
    for (const args of [
      ["--secret-env", "hunter2"],
      ["--secret-env", "=hunter2"],
      ["--secret-env-file", "wrong"],
    ]) {
      assert.throws(() => secret(...args), withoutValue);
    }
    assert.throws(() => secret("--secret-env-file", "wrong"), /line 2 of wrong/);
    assert.throws(() => read(appFieldsOfCreate, ["--unset-secret-env", "C"]), /unknown flag --unset-secret-env/);
  });

  it("the flags of an app take ports of udp, and refuse any other text", () => {
    assert.deepEqual(app("-p", "53/udp,5353:53/udp").value, {
      starting_ports: [
        { host_port: 53, container_port: 53, protocol: "PORT_PROTOCOL_UDP" },
        { host_port: 5353, container_port: 53, protocol: "PORT_PROTOCOL_UDP" },
      ],
    });
    for (const wrong of ["x", "80:", "0", "65536", "80/sctp", "80,,81", "-1", "127.0.0.1:80", "127.0.0.1::80", "::1:80:80", "80-90:80"])
      assert.throws(() => app(`--starting_ports=${wrong}`), /--starting-ports/, wrong);
  });

  it("the flags of an app take the number of containers by the original's names, and refuse any other name", () => {
    assert.deepEqual(
      [app("-c", "instance:2").value, app("-c", "mem:512").value],
      [{ containers_per: { server: 2 } }, { containers_per: { memory_mb: 512 } }],
    );
    for (const wrong of ["server", "server:x", "server:1:2", "box:1", "server:"]) assert.throws(() => app("-c", wrong), /--containers-per/, wrong);
  });

  it("the flags of an app give the fields that v2 lacks", () => {
    const args = ["--command", "sh -c 'a b'", "--cpus", "0.5", "--memory_limit_mb", "64", "--log-driver", "json-file", "--log-opt", "max-size=1m"];
    const more = [
      "--label",
      "a=b",
      "--cap-add",
      "NET_ADMIN,SYS_TIME",
      "--ulimit",
      "nofile=1024:2048",
      "--ulimit",
      "core=-1",
      "--user",
      "1000:1000",
      "--tmpfs",
      "/run:size=1m",
    ];
    const last = [
      "--read-only",
      "--init",
      "--stop-grace-seconds",
      "0",
      "--pull-policy",
      "missing",
      "--health-cmd",
      "true",
      "--health-interval",
      "5s",
      "--health-retries",
      "2",
    ];
    assert.deepEqual(app(...args, ...more, ...last).value, {
      command: ["sh", "-c", "a b"],
      cpus: 0.5,
      memory_limit_mb: 64,
      logging: { driver: "json-file", options: { "max-size": "1m" } },
      labels: { a: "b" },
      cap_add: ["NET_ADMIN", "SYS_TIME"],
      ulimits: [
        { name: "nofile", soft: "1024", hard: "2048" },
        { name: "core", soft: "-1", hard: "-1" },
      ],
      user: "1000:1000",
      tmpfs: { "/run": "size=1m" },
      read_only: true,
      init: true,
      stop_grace_seconds: 0,
      pull_policy: "PULL_POLICY_MISSING",
      healthcheck: { test: ["CMD-SHELL", "true"], interval_ms: 5000, retries: 2 },
    });
  });

  it("the flags of an app refuse a part of a value that is given as a whole", () => {
    assert.throws(() => app("--health-retries", "2"), /--health-retries without --health-cmd/);
    assert.throws(() => app("--log-opt", "a=b"), /--log-opt without --log-driver/);
    assert.throws(() => app("--no-healthcheck", "--health-cmd", "true"), /--no-healthcheck excludes the other health flags/);
    assert.deepEqual(app("--no-healthcheck").value, { healthcheck: { test: ["NONE"] } });
  });

  it("the flags reach every writable field of an app, a cron_job and a device_group", () => {
    const outputOnly = ["name", "revision", "restart_count", "prune_id"];
    const writable = (schema: typeof AppSchema | typeof CronJobSchema | typeof DeviceGroupSchema) =>
      schema.fields.map(({ name }) => name).filter((name) => !outputOnly.includes(name));
    const everything = (fields: readonly Field<object>[]) =>
      fields.flatMap(({ flags, read: readOne }) => {
        for (const flag of flags) {
          const samples =
            flag.kind === "text"
              ? [...(flag.choices ?? []), "server:1", "nofile=1", "80", "a=b", "10s"].map((text) => [`--${flag.name}`, text])
              : [[`--${flag.name}`, ...(flag.kind === "number" ? ["1"] : [])]];
          for (const args of samples) {
            const parsed = parseFlags(args, flags, "test");
            if (parsed.kind !== "parsed") continue;
            try {
              const given = readOne(parsed.values, noInput);
              if (given !== undefined) return given.paths.map((path) => path.split(".")[0] ?? "");
            } catch {
              // not a sample of this flag's form
            }
          }
        }
        return [];
      });
    assert.deepEqual(everything(appFieldsOfUpdate).sort(), writable(AppSchema).sort());
    assert.deepEqual(everything(cronJobFieldsOfUpdate).sort(), writable(CronJobSchema).sort());
    assert.deepEqual(everything(deviceGroupFields).sort(), writable(DeviceGroupSchema).sort());
  });
});

describe("the flags of a user_group", () => {
  it("the flags of a user_group are the original's, with its letters", () => {
    const args = "-m ann,bob -a web:rw,db -d pos -P -A".split(" ");
    const { paths, value } = read(userGroupFieldsOfCreate, args);
    assert.deepEqual(paths, ["group_members", "apps", "device_groups", "pruning_allowed", "admin"]);
    assert.deepEqual(value, {
      groupMembers: ["ann", "bob"],
      apps: { web: "rw", db: "ro" },
      cronJobs: {},
      deviceGroups: { pos: "ro" },
      pruningAllowed: true,
      admin: true,
    });
    const off = { pruningAllowed: false, admin: false };
    for (const line of ["-N -U", "--no-pruning --user", "--pruning-not-allowed --no-admin"])
      assert.deepEqual(read(userGroupFieldsOfUpdate, line.split(" ")).value, off);
    assert.deepEqual(read(userGroupFieldsOfUpdate, ["--device_group", "pos:rw", "--pruning", "--admin"]).value, {
      apps: {},
      cronJobs: {},
      deviceGroups: { pos: "rw" },
      pruningAllowed: true,
      admin: true,
    });
  });

  it("the flags of a user_group add up where a map is given several times, and empty it with nothing, [] or {}", () => {
    assert.deepEqual(read(userGroupFieldsOfUpdate, ["-a", "web:rw", "-a", "db,x-*:rw"]).value.apps, { web: "rw", db: "ro", "x-*": "rw" });
    for (const nothing of ["", "[]", "{}"]) {
      const { paths, value } = read(userGroupFieldsOfUpdate, ["-a", nothing]);
      assert.deepEqual([paths, value.apps], [["apps"], {}], nothing);
    }
  });
});

describe("the flags of a device_group", () => {
  it("the flags of a device_group are lists of names", () => {
    assert.deepEqual(read(deviceGroupFields, ["--apps", "web,api", "--cron_jobs", "[]"]), {
      paths: ["apps", "cron_jobs"],
      value: { apps: ["web", "api"], cronJobs: [] },
    });
  });
});
