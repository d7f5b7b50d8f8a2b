import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ContainersPerSchema, PortProtocol, StartingPortSchema } from "../../gen/nebula/v1/app_pb.ts";
import { canonicalAddress, publishedPort } from "../net/published-address.ts";
import { containersPerFromV2, containersPerToV2 } from "./containers-per.ts";
import { envVarsFromV2 } from "./env-vars.ts";
import { startingPortsFromV2, startingPortsToV2 } from "./starting-ports.ts";

describe("starting_ports of v2", () => {
  const plain = (value: unknown) => {
    const read = startingPortsFromV2(value);
    return read.kind === "ports"
      ? read.ports.map(({ hostAddress, hostPort, containerPort, protocol }) => {
          return `${publishedPort(hostAddress, hostPort)}:${containerPort}${protocol === PortProtocol.UDP ? "/udp" : ""}`;
        })
      : read.kind;
  };

  it("starting_ports mix ports and objects", () => {
    assert.deepEqual(plain([80, { "8080": "81" }, "53/udp", { "5353": "53/udp", "82": 83 }, "84", "85/tcp"]), [
      ..."80:80 8080:81 53:53/udp 82:83 5353:53/udp 84:84 85:85".split(" "),
    ]);
  });
  it("starting_ports are read as on Docker's command line, too", () => {
    const texts = ["8080:80", "5353:53/udp", "127.0.0.1:8080:80", "[::1]:8080:80/udp", { "127.0.0.1:9090": "90" }, { "[0::1]:9090": 90 }];
    assert.deepEqual(plain(texts), ["8080:80", "5353:53/udp", "127.0.0.1:8080:80", "[::1]:8080:80/udp", "127.0.0.1:9090:90", "[::1]:9090:90"]);
  });
  it("starting_ports are written in the shortest form", () => {
    const read = startingPortsFromV2(["80:80", "8080:80", "53:53/udp", "127.0.0.1:80:80", "[::1]:53:53/udp"]);
    assert.ok(read.kind === "ports");
    assert.deepEqual(startingPortsToV2(read.ports), [80, { "8080": "80" }, "53/udp", { "127.0.0.1:80": "80" }, { "[::1]:53": "53/udp" }]);
  });
  it("starting_ports that are not a list are refused", () => {
    for (const value of [undefined, null, {}, "80", 80]) assert.equal(plain(value), "invalid_shape");
  });
  it("starting_ports with other content are refused", () => {
    for (const entry of [
      null,
      [],
      [80],
      {},
      true,
      80.5,
      Number.NaN,
      "a",
      "80:",
      ":80",
      "80:80:80",
      "127.0.0.1:80",
      "127.0.0.1::80",
      "::1:80:80",
      "999.0.0.1:80:80",
      "localhost:80:80",
      "80-90:80",
      { "127.0.0.1": 1 },
      { a: 1 },
      { 80: null },
      { 80: "x" },
      { "80/udp": "80" },
      "53/sctp",
    ]) {
      assert.equal(plain([80, entry]), "invalid_shape", JSON.stringify(entry));
    }
  });
  it("starting_ports beyond the range of ports are refused", () => {
    for (const entry of [0, -1, 65_536, 1e15, "0", { 0: "1" }, { 1: 0 }, { 1: "65536/udp" }])
      assert.equal(plain([entry]), "invalid_port", JSON.stringify(entry));
  });
  it("starting_ports are refused with the entry that is wrong", () => {
    const read = startingPortsFromV2([80, { 80: "x" }]);
    assert.ok(read.kind === "invalid_shape");
    assert.match(JSON.stringify(read.violations), /starting_ports\[1\].*invalid port .*use 80/);
  });
  it("starting_ports are read back as they were written", () => {
    const port = fc.integer({ min: 1, max: 65_535 });
    const hostAddress = fc.oneof(
      fc.constant(""),
      fc.ipV4(),
      fc.ipV6().map((address) => canonicalAddress(address) ?? ""),
    );
    const protocol = fc.constantFrom(PortProtocol.TCP, PortProtocol.UDP);
    const ports = fc.array(fc.record({ hostAddress, hostPort: port, containerPort: port, protocol }));
    fc.assert(
      fc.property(ports, (given) => {
        const messages = given.map((fields) => create(StartingPortSchema, fields));
        assert.deepEqual(startingPortsFromV2(JSON.parse(JSON.stringify(startingPortsToV2(messages)))), { kind: "ports", ports: messages });
      }),
    );
  });
});

describe("containers_per of v2", () => {
  const both = [
    [{ server: 2 }, { server: 2 }],
    [{ instance: "3" }, { server: 3 }],
    [{ server: 2.7 }, { server: 2 }],
    [{ cpu: 0.5 }, { cpu: 0.5 }],
    [{ memory: 512 }, { memory: 512 }],
    [{ mem: 512 }, { memory: 512 }],
  ];
  for (const [given, answered] of both) {
    it(`containers_per ${JSON.stringify(given)} is ${JSON.stringify(answered)}`, () => {
      const read = containersPerFromV2(given);
      assert.deepEqual(read.kind === "containers_per" && containersPerToV2(read.containersPer), answered);
    });
  }
  it("containers_per is one per server when absent", () => assert.deepEqual(containersPerToV2(undefined), { server: 1 }));
  it("containers_per of 0 stays 0: the validation refuses it", () => {
    assert.deepEqual(containersPerFromV2({ server: 0 }), {
      kind: "containers_per",
      containersPer: create(ContainersPerSchema, { per: { case: "server", value: 0 } }),
    });
  });
  it("containers_per is refused in another shape", () => {
    for (const value of [
      null,
      [],
      {},
      2,
      "x",
      { server: 1, cpu: 1 },
      { device: 1 },
      { server: "x" },
      { server: -1 },
      { server: 1e10 },
      { memory: 0.5 },
      { cpu: null },
    ]) {
      assert.equal(containersPerFromV2(value).kind, "invalid", JSON.stringify(value));
    }
  });
});

describe("env_vars of v2", () => {
  it("env_vars become the variables that the original's workers give their containers", () => {
    assert.deepEqual(envVarsFromV2({ A: "x", B: 1.5, C: true, D: null }), { kind: "env_vars", envVars: { A: "x", B: "1.5", C: "True", D: "" } });
  });
  it("env_vars are an empty map for v2's empty list", () => assert.deepEqual(envVarsFromV2([]), { kind: "env_vars", envVars: {} }));
  it("env_vars are refused in another shape, without a word of the values", () => {
    for (const value of [null, "x", ["hunter2"], { A: ["hunter2"] }, { A: { hunter2: 1 } }]) {
      const read = envVarsFromV2(value);
      assert.equal(read.kind, "invalid");
      assert.doesNotMatch(JSON.stringify(read), /hunter2/);
    }
  });
});
