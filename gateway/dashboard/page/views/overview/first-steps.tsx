import { createClient } from "@connectrpc/connect";
import { AppService } from "../../../../../gen/nebula/v1/app_pb.ts";
import type { GetOverviewResponse } from "../../../../../gen/nebula/v1/fleet_pb.ts";
import { appCreateAddress } from "../../addresses/entity-addresses.ts";
import { useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { usePage } from "../../parts/page-context.ts";
import { enrolmentPlaces, firstSteps, type Step } from "./first-steps-model.ts";
import "./first-steps.css";

type Props = Readonly<{
  overview: GetOverviewResponse;
  /** Opens the form of a new device_group. */
  createGroup: () => void;
}>;

/** The steps from an empty server to the first device: an app, a device_group, an enrolment token. */
export function FirstSteps({ overview, createGroup }: Props) {
  const { transport } = usePage();
  const apps = useReading("first app", (signal) => createClient(AppService, transport).listApps({ pageSize: 1 }, { signal }));
  if (apps.kind === "loading") return null; // whether the first step is done is not known yet
  const app = apps.kind === "ready" ? apps.value.apps[0]?.name : undefined;
  const steps = firstSteps(overview, app);
  return (
    <section class="card first-steps" aria-labelledby="first-steps">
      <h2 id="first-steps">{overview.groups.length === 0 ? "There is nothing here yet" : "No device is here yet"}</h2>
      <ol>
        {steps.map((step) => (
          <li key={step.key} class={step.isDone ? "first-step-done" : ""}>
            <h3>
              {step.title}
              {step.isDone && <span class="faint"> · done</span>}
            </h3>
            {!step.isDone && (
              <>
                <p class="faint">{step.text}</p>
                {step.isOffered ? (
                  <StepAction step={step} overview={overview} createGroup={createGroup} />
                ) : (
                  <p class="faint">{whyNotOffered(step, overview)}</p>
                )}
                <CommandLine line={step.line} />
              </>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

function whyNotOffered({ key }: Step, { groups }: GetOverviewResponse): string {
  return key === "device" && groups.length === 0 ? "Once there is a group, its page makes one." : "Your rights do not cover this: ask an admin.";
}

function StepAction({ step, overview, createGroup }: Props & Readonly<{ step: Step }>) {
  switch (step.key) {
    case "app":
      return (
        <div class="actions">
          <a class="as-button first-action" href={appCreateAddress()}>
            Create an app
          </a>
        </div>
      );
    case "group":
      return (
        <div class="actions">
          <button type="button" onClick={createGroup}>
            Create a device group
          </button>
        </div>
      );
    case "device":
      return (
        <p>
          On the page of its group:{" "}
          {enrolmentPlaces(overview).map(({ name, to }, index) => (
            <span key={name}>
              {index > 0 && ", "}
              <a class="name" href={to}>
                {name}
              </a>
            </span>
          ))}
        </p>
      );
  }
}
