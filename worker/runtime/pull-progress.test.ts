import assert from "node:assert/strict";
import { PullProgress } from "./pull-progress.ts";

const line = (status: string, id?: string, current?: number) => ({ status, id, progressDetail: current === undefined ? {} : { current, total: 9 } });

/** The signs of the lines, one letter each: P for progress, D once everything has arrived, a dot for neither. */
function signs(lines: readonly unknown[]): string {
  const progress = new PullProgress();
  return lines
    .map((each) => {
      const { isProgress, isDownloaded } = progress.see(each);
      return `${isProgress ? "P" : ""}${isDownloaded ? "D" : ""}` || ".";
    })
    .join(" ");
}

describe("the progress of a pull", () => {
  it("the progress of a pull is a changed id, status or count, and not a line that is repeated", () => {
    const lines = [line("Pulling from a/b", "1"), line("Pulling fs layer", "a"), line("Downloading", "a", 1), line("Downloading", "a", 1)];
    assert.equal(signs([...lines, line("Downloading", "a", 2), line("Downloading", "b", 2), line("Downloading", "a", 2)]), "P P P . P P .");
  });

  it("the progress of a pull is neither a wait nor a countdown", () => {
    assert.equal(
      signs([line("Downloading", "a", 1), line("Waiting", "b"), line("Retrying in 5 seconds", "a"), line("Retrying in 4 seconds", "a")]),
      "P . . .",
    );
    assert.equal(signs([line("Downloading", "a", 1), line("Retrying in 1 second", "a"), line("Downloading", "a", 1)]), "P . .", "back where it was");
  });

  it("the progress of a pull says when every layer has arrived: the rest is unpacking", () => {
    const arriving = [line("Pulling fs layer", "a"), line("Waiting", "b"), line("Download complete", "a"), line("Already exists", "b")];
    assert.equal(signs([...arriving, line("Extracting", "a", 3), line("Pull complete", "a")]), "P . P PD PD PD");
    assert.equal(signs([line("Download complete", "a"), line("Pulling fs layer", "b"), line("Download complete", "b")]), "PD P PD", "one more layer");
    assert.equal(signs([line("Pulling from a/b", "1"), {}, "nonsense", null]), "P P . .", "no layer has arrived where none is known");
  });

  it("the progress of a pull counts the bytes of downloads whose size is known, not those of the unpacking", () => {
    const progress = new PullProgress();
    const counted = [
      line("Pulling from a/b", "1"),
      line("Pulling fs layer", "a"),
      line("Downloading", "a", 4),
      { status: "Downloading", id: "b", progressDetail: { current: 7 } },
      line("Downloading", "c", 1),
      line("Download complete", "a"),
      line("Extracting", "a", 2),
      line("Already exists", "d"),
    ].map((each) => progress.see(each).bytes);
    const [none, four, five, nine] = [
      { done: 0, total: 0 },
      { done: 4, total: 9 },
      { done: 5, total: 18 },
      { done: 10, total: 18 },
    ];
    assert.deepEqual(counted, [none, none, four, four, five, nine, nine, nine]);
  });
});
