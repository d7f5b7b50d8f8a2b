import { strict as assert } from "node:assert";
import fc from "fast-check";
import { invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import { decodeRetryAfter, decodeViolations, STATUS_DETAILS_KEY } from "../../common/rpc/status-details.ts";
import { errorStatus } from "./errors.ts";

function violationsOf({ metadata }: ReturnType<typeof errorStatus>) {
  const [details] = metadata.get(STATUS_DETAILS_KEY);
  return decodeViolations(details instanceof Uint8Array ? details : undefined);
}

describe("error status", () => {
  it("an error status carries code, message and violations", () => {
    const status = errorStatus(invalidArgument([{ field: "name", description: "is missing" }]));
    assert.equal(status.code, 3);
    assert.equal(status.details, "name: is missing");
    assert.deepEqual(violationsOf(status), [{ field: "name", description: "is missing" }]);
    assert.deepEqual(violationsOf(errorStatus(new NebulaError("not_found", "no"))), []);
  });

  it("an error status carries the time after which the call may be retried", () => {
    const { metadata } = errorStatus(new NebulaError("resource_exhausted", "too many", { retryAfterMs: 1500 }));
    const [details] = metadata.get(STATUS_DETAILS_KEY);
    assert.equal(decodeRetryAfter(details instanceof Uint8Array ? details : undefined), 1500);
  });

  it("an error status fits into the headers that any client takes, and into grpc-js, for any error text", () => {
    const text = fc.oneof(fc.string({ unit: "binary", maxLength: 3000 }), fc.constant("\ud800"), fc.constant("x".repeat(50_000)));
    const violations = fc.array(fc.record({ field: fc.string({ maxLength: 100 }), description: text }), { maxLength: 300 });
    fc.assert(
      fc.property(text, violations, (message, wrong) => {
        const status = errorStatus(new NebulaError("invalid_argument", message, { violations: wrong }));
        const size = encodeURI(status.details).length + Object.values(status.metadata.toHttp2Headers()).join().length;
        assert.ok(size < 8192, `${size}`);
      }),
      { numRuns: 30 },
    );
  });

  it("an error status keeps the first violations where not all fit", () => {
    const violations = Array.from({ length: 1000 }, (_, index) => ({ field: `apps[${index}]`, description: "is not a name" }));
    const kept = violationsOf(errorStatus(invalidArgument(violations)));
    assert.ok(kept.length > 20);
    assert.deepEqual(kept, violations.slice(0, kept.length));
  });
});
