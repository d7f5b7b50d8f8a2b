import { createClient } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { printableLine } from "../../../../../common/printable.ts";
import { AccessService, type DeviceToken } from "../../../../../gen/nebula/v1/access_pb.ts";
import { type Device, DeviceService, type GetDeviceResponse } from "../../../../../gen/nebula/v1/device_pb.ts";
import { ExplainService } from "../../../../../gen/nebula/v1/explain_pb.ts";
import { devicesAddress } from "../../addresses/devices-filter.ts";
import { DEVICE_PATH, groupAddress } from "../../addresses/entity-addresses.ts";
import { isNotFound } from "../../data/loaded.ts";
import { ActionDialog } from "../../parts/action-dialog.tsx";
import { useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { Age, StateWord } from "../../parts/values.tsx";
import { ViewState } from "../../parts/view-state.tsx";
import type { View } from "../../view.ts";
import { Chains } from "./chains.tsx";
import { deviceHead, factsOf, type RunningTarget, type RunningTargets, runningTargets, usagesOf } from "./device-model.ts";
import { Timeline } from "./timeline.tsx";
import "./device.css";

/** One device: why it runs what it runs, what it runs, what it reported, and its token. */
export const deviceView: View = {
  path: DEVICE_PATH,
  title: ({ id = "" }) => printableLine(id),
  body: ({ params: { id = "" } }) => <OneDevice key={id} id={id} />,
};

function OneDevice({ id }: Readonly<{ id: string }>) {
  const { transport } = usePage();
  const state = useReading(id, (signal) => createClient(DeviceService, transport).getDevice({ deviceId: id }, { signal }));
  const device = state.kind === "ready" ? state.value.device : undefined;
  return (
    <>
      <p class="kind-of-view">Device</p>
      <div class="device-head">
        <h1 tabIndex={-1} class="device-id">
          <bdi>{printableLine(id)}</bdi>
        </h1>
        {device !== undefined && <Head device={device} />}
      </div>
      {isNotFound(state) ? <NeverCame id={id} /> : <ViewState of={state}>{(answer) => <Known answer={answer} />}</ViewState>}
    </>
  );
}

function Head({ device }: Readonly<{ device: Device }>) {
  const { group, connection, since, state } = deviceHead(device);
  return (
    <>
      <StateWord state={connection} />
      {since !== undefined && (
        <span class="faint">
          since <Age of={since} />
        </span>
      )}
      <StateWord state={state} />
      <span>
        in <a href={groupAddress(group)}>{group}</a>
      </span>
    </>
  );
}

/** A device that has a token, and neither connected nor reported, has an explanation all the same; one that is unknown has its refusal. */
function NeverCame({ id }: Readonly<{ id: string }>) {
  const state = useToken(id);
  const token = state.kind === "ready" ? state.value : undefined;
  return (
    <>
      <Why id={id} />
      {token !== undefined && (
        <section class="card" aria-labelledby="token">
          <h2 id="token">Token</h2>
          <TokenText token={token} />
          <CommandLine line={commandLine(["nebulactl", "devices", "revoke", id])} label="To end it" />
        </section>
      )}
      <p>
        <a href={devicesAddress()}>Show all devices</a>
      </p>
    </>
  );
}

/** The token of the device; undefined where it has none, or the caller has no rw on its device_group. */
function useToken(deviceId: string) {
  const { transport } = usePage();
  return useReading(`token ${deviceId}`, async (signal) => {
    return (await createClient(AccessService, transport).listDeviceTokens({ deviceId }, { signal })).deviceTokens[0];
  });
}

function Known({ answer: { device, mayForget } }: Readonly<{ answer: GetDeviceResponse }>) {
  const { now } = usePage();
  if (device === undefined) return null;
  const running = runningTargets(device, now.value);
  return (
    <>
      <Why id={device.deviceId} />
      <div class="columns">
        <section class="card" aria-labelledby="containers">
          <h2 id="containers">Containers</h2>
          {running.targets.length === 0 ? (
            <p class="faint">{device.report === undefined ? "It never reported." : "It runs no app and no cron_job."}</p>
          ) : (
            <Running running={running} />
          )}
          <CommandLine line={commandLine(["nebulactl", "devices", "info", device.deviceId])} />
        </section>
        <div class="column">
          <Facts device={device} now={now.value} />
          {mayForget && <TokenAndForget deviceId={device.deviceId} deviceGroup={device.deviceGroup} />}
        </div>
      </div>
      <Timeline deviceId={device.deviceId} />
    </>
  );
}

function Why({ id }: Readonly<{ id: string }>) {
  const { transport } = usePage();
  const state = useReading(`why ${id}`, async (signal) => {
    return (await createClient(ExplainService, transport).explain({ deviceId: id }, { signal })).explanation;
  });
  return (
    <section class="card" aria-labelledby="why">
      <h2 id="why">Why it runs what it runs</h2>
      <ViewState of={state}>{(explanation) => (explanation === undefined ? null : <Chains explanation={explanation} />)}</ViewState>
      <CommandLine line={commandLine(["nebulactl", "why", id])} />
    </section>
  );
}

/** One table, so that the columns of all apps and cron_jobs are in line. */
function Running({ running: { head, targets } }: Readonly<{ running: RunningTargets }>) {
  const columns = head.length === 0 ? ["Container"] : head;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard, too
    <section class="table-frame" aria-label="Containers by app and cron_job" tabIndex={0}>
      <table class="table running">
        <thead>
          <tr>
            {columns.map((word) => (
              <th key={word} scope="col">
                {word}
              </th>
            ))}
          </tr>
        </thead>
        {targets.map((target) => (
          <tbody key={target.key}>
            <tr>
              <th colSpan={columns.length} scope="rowgroup">
                <RunningHead target={target} />
              </th>
            </tr>
            {target.containers.map((row) => (
              <tr key={row[0]?.text}>
                {row.map(({ text, isWrong }, index) => (
                  <td key={columns[index]} class={isWrong ? "state-failed" : ""} title={text}>
                    <bdi>{text}</bdi>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </section>
  );
}

function RunningHead({ target: { title, to, state, revision, reason, containers } }: Readonly<{ target: RunningTarget }>) {
  return (
    <div class="running-head">
      <p>
        <span class="name">
          <bdi>{to === undefined ? title : <a href={to}>{title}</a>}</bdi>
        </span>
        <StateWord state={state} />
        <span class="faint number">{revision}</span>
        {containers.length === 0 && <span class="faint">no containers</span>}
      </p>
      {reason !== "" && <p class="device-text">{reason}</p>}
    </div>
  );
}

function Facts({ device, now }: Readonly<{ device: Device; now: number }>) {
  return (
    <section class="card" aria-labelledby="host">
      <h2 id="host">Host and worker</h2>
      <dl class="pairs facts">
        {usagesOf(device, now).map(({ name, used, text }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {text}
              <svg class="bar usage" role="img" aria-label={`${name}: ${Math.round(used * 100)} % used`}>
                <rect class="bar-empty" width="100%" height="100%" />
                <rect class={used > 0.9 ? "fill-failed" : "fill-working"} width={`${used * 100}%`} height="100%" />
              </svg>
            </dd>
          </div>
        ))}
        {factsOf(device, now).map(({ name, value }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="device-text">{value.text}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** For who may change the device_group: only they see the tokens of its devices, and may forget them. */
function TokenAndForget({ deviceId, deviceGroup }: Readonly<{ deviceId: string; deviceGroup: string }>) {
  const [isAsked, setAsked] = useState(false);
  const state = useToken(deviceId);
  return (
    <section class="card" aria-labelledby="token">
      <h2 id="token">Token</h2>
      <ViewState of={state}>{(token) => <TokenText token={token} />}</ViewState>
      <CommandLine line={commandLine(["nebulactl", "devices", "tokens", "--device-group", deviceGroup])} />
      <div>
        <button type="button" class="quiet danger" onClick={() => setAsked(true)}>
          Forget this device
        </button>
      </div>
      {isAsked && <Forget deviceId={deviceId} deviceGroup={deviceGroup} close={() => setAsked(false)} />}
    </section>
  );
}

function TokenText({ token }: Readonly<{ token: DeviceToken | undefined }>) {
  if (token === undefined) return <p>It has no token of its own: it connects with the login of a user.</p>;
  return (
    <p>
      It enrolled <Age of={token.enrolledAt} />
      {token.rotatedAt !== undefined && (
        <>
          , and its token was rotated <Age of={token.rotatedAt} />
        </>
      )}
      {token.rotating && ". A next token was announced, and not used yet"}.
    </p>
  );
}

function Forget({ deviceId, deviceGroup, close }: Readonly<{ deviceId: string; deviceGroup: string; close: () => void }>) {
  const { transport, router } = usePage();
  const forget = async () => {
    await createClient(DeviceService, transport).deleteDevice({ deviceId });
    router.go(devicesAddress({ group: deviceGroup }));
    return "It is forgotten.";
  };
  return (
    <ActionDialog
      title={`Forget ${printableLine(deviceId)}`}
      verb="Forget"
      isDangerous={true}
      close={close}
      plan={async () => ({ text: FORGET_TEXT, line: commandLine(["nebulactl", "devices", "delete", deviceId]), apply: forget })}
    />
  );
}

const FORGET_TEXT = [
  "The server removes the newest status of this device, and its reports expire.",
  "Nothing on the device changes: if it still runs, its next report lists it again.",
  "Its token stays valid until it is revoked.",
].join("\n");
