import { createClient } from "@connectrpc/connect";
import { useEffect, useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { targetKindOf } from "../../../../../common/resources/target-kind.ts";
import { capitalized } from "../../../../../common/text/wording.ts";
import type { ApplyTarget } from "../../../../../gen/nebula/v1/apply_pb.ts";
import { TargetKind } from "../../../../../gen/nebula/v1/device_pb.ts";
import { HistoryService, type Revision } from "../../../../../gen/nebula/v1/history_pb.ts";
import { CHANGE_PATH, type ChangeName, changeNameOf, entityAddress } from "../../addresses/entity-addresses.ts";
import { applyRequest } from "../../data/live-kinds.ts";
import { useLive, useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount, formatShare } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { StateBar } from "../../parts/state-bar.tsx";
import { Age, Count } from "../../parts/values.tsx";
import { Empty, ViewState } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import {
  addSample,
  type ChangeProgress,
  changeHead,
  changeProgress,
  curvePoints,
  differencesOf,
  type FailureGroup,
  followedOf,
  type Sample,
  type Verdict,
} from "./change-model.ts";
import "./change.css";

/** One change, at an address that stays, on its way to the devices. */
export const changeView: View = {
  path: CHANGE_PATH,
  title: ({ kind = "", name = "", revision = "" }) => printableLine(`${kind} ${name} @${revision}`),
  body: ({ params }) => {
    const change = changeNameOf(params);
    return change === undefined ? <NoChange /> : <Change key={JSON.stringify(params)} change={change} />;
  },
};

function NoChange() {
  return (
    <>
      <h1 tabIndex={-1}>This address names no change</h1>
      <Empty title="A change is a kind, a name and a revision: /ui/changes/app/web/42">
        <CommandLine line="nebulactl changes" label="Find one" />
      </Empty>
    </>
  );
}

type Read = Readonly<{ revision: Revision; target: ApplyTarget }>;

function Change({ change }: Readonly<{ change: ChangeName }>) {
  const { transport } = usePage();
  const { kind, name, revision } = change;
  const to = entityAddress(kind, name);
  const shown = printableLine(name);
  const state = useReading<Read | undefined>(`${kind}/${name}/${revision}`, async (signal) => {
    const history = createClient(HistoryService, transport);
    const read = async (revision: bigint) => (await history.getRevision({ kind: targetKindOf(kind), name, revision }, { signal })).revision;
    const found = await read(revision);
    if (found === undefined) return undefined;
    const isOfGroup = found.kind === TargetKind.DEVICE_GROUP && found.previousRevision > 0n;
    return { revision: found, target: followedOf(found, isOfGroup ? await read(found.previousRevision) : undefined) };
  });
  return (
    <>
      <p class="kind-of-view">Change</p>
      <h1 tabIndex={-1} class="change-title">
        {kind} <bdi>{to === undefined ? shown : <a href={to}>{shown}</a>}</bdi> <span class="number">@{String(revision)}</span>
      </h1>
      <ViewState of={state}>
        {(read) =>
          read === undefined ? null : (
            <>
              <Head revision={read.revision} />
              <Progress target={read.target} />
              <Differences revision={read.revision} />
            </>
          )
        }
      </ViewState>
      <CommandLine line={commandLine(["nebulactl", "status", `${kind}/${name}`, "--wait"])} />
    </>
  );
}

function Head({ revision }: Readonly<{ revision: Revision }>) {
  const { action, by, at, before } = changeHead(revision);
  return (
    <p class="faint">
      {action} by <bdi>{by}</bdi> <Age of={at} />
      {before !== undefined && (
        <>
          {" · "}
          <a href={before}>the revision before</a>
        </>
      )}
    </p>
  );
}

const VERDICTS: Readonly<Record<Verdict, Readonly<{ title: string; mark: string }>>> = {
  moving: { title: "On its way", mark: "working" },
  applied: { title: "Every online device has it", mark: "applied" },
  failed: { title: "Some devices failed", mark: "failed" },
  "none-online": { title: "No device is online", mark: "offline" },
  "nothing-asked": { title: "It asks nothing of devices", mark: "applied" },
  "no-devices": { title: "It reaches no device", mark: "never-came" },
};

function Progress({ target }: Readonly<{ target: ApplyTarget }>) {
  const state = useLive("apply", applyRequest(target));
  const [samples, setSamples] = useState<readonly Sample[]>([]);
  const numbers = state.kind === "ready" && state.trouble === undefined ? state.value.counts : undefined;
  const { now } = usePage();
  useEffect(() => {
    if (numbers === undefined) return;
    setSamples((samples) => addSample(samples, { atMs: now.peek(), applied: Number(numbers.applied), devices: Number(numbers.devices) }));
  }, [numbers, now.value]);
  return (
    <ViewState of={state}>
      {(message) => {
        const progress = changeProgress(message, target);
        return (
          <>
            {progress.superseded.map(({ text, to }) => (
              <p key={text} class="notice notice-warning" role="status">
                Superseded: {to === undefined ? text : <a href={to}>{text}</a>}. Devices that have the newer revision count as applied.
              </p>
            ))}
            <Numbers progress={progress} samples={samples} />
            {progress.failures.length > 0 && <Failures failures={progress.failures} older={progress.olderFailures} />}
          </>
        );
      }}
    </ViewState>
  );
}

function Numbers({ progress, samples }: Readonly<{ progress: ChangeProgress; samples: readonly Sample[] }>) {
  const { verdict, summary, devices, applied, parts, to } = progress;
  const { title, mark } = VERDICTS[verdict];
  return (
    <section class="card" aria-label="Devices by state">
      <p class="verdict" role="status">
        <svg class="dot" width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
          <circle class={`fill-${mark}`} cx="6" cy="6" r="6" />
        </svg>
        <strong>{title}</strong>
        <span class="faint">{summary}</span>
      </p>
      <p class="applied-line">
        <span class="applied-count number">{formatCount(applied)}</span> of{" "}
        <Count value={devices} to={devices === 0n ? undefined : to} of="devices" /> applied
        <span class="faint number"> · {formatShare(applied, devices)}</span>
      </p>
      <StateBar parts={parts} size="large" />
      <ul class="apply-counts">
        {parts.map(({ state, word, count, to }) => (
          <li key={state} class={count === 0n ? "faint" : ""}>
            <svg class="dot" width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
              <rect class={`fill-${state}`} width="10" height="10" rx="2" />
            </svg>
            <span class="number" data-count={word}>
              <Count value={count} to={count === 0n ? undefined : to} of={word} />
            </span>{" "}
            {word}
          </li>
        ))}
      </ul>
      <Curve samples={samples} />
    </section>
  );
}

const CURVE = { width: 1000, height: 120 };

/** Devices that applied it, since the page was opened. */
function Curve({ samples }: Readonly<{ samples: readonly Sample[] }>) {
  const points = curvePoints(samples, CURVE.width, CURVE.height);
  const [first, last] = [samples[0], samples.at(-1)];
  if (points === "" || first === undefined || last === undefined) return null;
  return (
    <figure class="curve">
      <svg
        viewBox={`0 0 ${CURVE.width} ${CURVE.height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`applied: from ${first.applied} to ${last.applied} of ${last.devices} devices`}
      >
        <polygon class="curve-area" points={`0,${CURVE.height} ${points} ${CURVE.width},${CURVE.height}`} />
        <polyline class="curve-line" points={points} />
      </svg>
      <figcaption class="faint">
        <span>
          <Age of={first.atMs} />, when this page was opened
        </span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}

function Failures({ failures, older }: Readonly<{ failures: readonly FailureGroup[]; older: string | undefined }>) {
  return (
    <section class="card" aria-labelledby="failures">
      <h2 id="failures">Failures by code</h2>
      {older !== undefined && <p class="faint">{capitalized(older)}.</p>}
      {failures.map(({ code, count, devices, to }) => (
        <details key={code} class="failure" open={failures.length === 1}>
          <summary>
            <span class="state-failed">{code}</span> <Count value={count} />
          </summary>
          <ul class="failed-devices">
            {devices.map(({ key, id, reason, to, group }) => (
              <li key={key}>
                <a href={to}>
                  <bdi>{id}</bdi>
                </a>
                <span class="faint">
                  <bdi>{group}</bdi>
                </span>
                <span class="failed-reason">
                  <bdi>{reason}</bdi>
                </span>
              </li>
            ))}
            {count > BigInt(devices.length) && (
              <li>
                <span class="faint">and {formatCount(count - BigInt(devices.length))} more</span>
              </li>
            )}
            {to !== undefined && (
              <li>
                <a href={to}>List of all that failed with {code}</a>
              </li>
            )}
          </ul>
        </details>
      ))}
    </section>
  );
}

function Differences({ revision }: Readonly<{ revision: Revision }>) {
  const differences = differencesOf(revision);
  return (
    <section class="card" aria-labelledby="differences">
      <h2 id="differences">What changed</h2>
      {differences.length === 0 ? (
        <p class="faint">No field differs from the revision before, or that one is not kept.</p>
      ) : (
        <dl class="pairs differences">
          {differences.map(({ field, lines }) => (
            <div key={field}>
              <dt>{field}</dt>
              <dd>
                {lines.map((line) => (
                  <p key={line}>
                    <bdi>{line}</bdi>
                  </p>
                ))}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
