import { strict as assert } from "node:assert";
import { countedAddress, countedNetwork } from "./caller-address.ts";

describe("the address that a caller is counted by", () => {
  const cases: readonly [peer: string, address: string, network: string][] = [
    ["192.0.2.7:1234", "192.0.2.7", "192.0.2.0/24"],
    ["192.0.2.7", "192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7", "192.0.2.7", "192.0.2.0/24"],
    ["[::ffff:192.0.2.7]:80", "192.0.2.7", "192.0.2.0/24"],
    ["::ffff:192.0.2.7:1234", "192.0.2.7", "192.0.2.0/24"],
    ["[2001:db8:1:2:3::4]:1234", "2001:db8:1:2::/64", "2001:db8:1::/48"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", "2001:db8:1::/48"],
    ["2001:db8::1", "2001:db8:0:0::/64", "2001:db8:0::/48"],
    ["no address", "no address", "no address"],
  ];
  for (const [peer, address, network] of cases) {
    it(`the address ${peer} is counted as ${address}, in the network ${network}`, () => {
      assert.deepEqual([countedAddress(peer), countedNetwork(peer)], [address, network]);
    });
  }
});
