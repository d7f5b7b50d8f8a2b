import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import { moreContainerFields, v2ContainerFields } from "./container-fields.ts";
import { parseContainersPer } from "./containers-per.ts";
import { envField, envFieldOfCreate } from "./env-field.ts";
import { type Field, listField, numberField, textField, toggleField } from "./field.ts";
import { healthField } from "./health-field.ts";
import { parsePort } from "./ports.ts";
import { secretEnvField, secretEnvFieldOfCreate } from "./secret-env-field.ts";

const ownFields: readonly Field<App>[] = [
  listField(
    "starting_ports",
    {
      name: "starting-ports",
      aliases: ["publish"],
      short: "p",
      placeholder: "80,8080:80,53/udp",
      help: "Published ports, [address:]host:container; each further container takes the next host port. Repeat it for more.",
    },
    (items, label) => ({
      startingPorts: items.flatMap((item) => parsePort(item, label)),
    }),
  ),
  textField(
    "containers_per",
    { name: "containers-per", short: "c", placeholder: "server:1|cpu:N|memory:MB", help: "How many containers per device. Default: server:1." },
    (text, label) => ({
      containersPer: parseContainersPer(text, label),
    }),
  ),
  toggleField(
    "rolling_restart",
    {
      name: "rolling",
      short: "R",
      off: "restart",
      offShort: "S",
      help: "Whether a change replaces one container after the other. Default: restart.",
    },
    (rollingRestart) => ({
      rollingRestart,
    }),
  ),
  numberField(
    "min_healthy_ms",
    {
      name: "min-healthy-ms",
      placeholder: "MS",
      min: 0,
      integer: true,
      help: "How long a container without a health check has to run to count as well. Default: 10000.",
    },
    (minHealthyMs) => ({
      minHealthyMs,
    }),
  ),
  toggleField(
    "renew_anonymous_volumes",
    {
      name: "renew-anonymous-volumes",
      off: "keep-anonymous-volumes",
      help: "Whether a new container starts with empty anonymous volumes. Default: keep-anonymous-volumes.",
    },
    (renewAnonymousVolumes) => ({ renewAnonymousVolumes }),
  ),
  healthField,
];

/** What can be given for an app when it is created. */
export const appFieldsOfCreate: readonly Field<App>[] = [
  ...v2ContainerFields,
  envFieldOfCreate,
  secretEnvFieldOfCreate,
  ...ownFields,
  ...moreContainerFields,
];
/** What can be changed of an app. */
export const appFieldsOfUpdate: readonly Field<App>[] = [...v2ContainerFields, envField, secretEnvField, ...ownFields, ...moreContainerFields];
