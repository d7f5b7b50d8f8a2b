import { requireDocker } from "../../../common/testing/require-docker.ts";
import { describeContainerRuntime } from "../contract.ts";
import { openDockerFixture } from "./fixture.ts";

describe("docker:", () => {
  before(async function () {
    await requireDocker(this);
  });

  describeContainerRuntime("docker", openDockerFixture);
});
