import type { App } from "../../../gen/nebula/v1/app_pb.ts";
import { moreContainerFields, v2ContainerFields } from "./container-fields.ts";
import { envField, envFieldOfCreate, secretEnvField, secretEnvFieldOfCreate } from "./env-fields.ts";
import { type Field, listField, numberField, textField, toggleField } from "./field.ts";
import { healthField } from "./health-field.ts";
import { parseContainersPer, parsePort } from "./text-values.ts";

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
      help: "Whether a change replaces containers one at a time. Default: restart.",
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
      help: "How long a container without a health check must run to count as healthy. Default: 10000.",
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

/** The fields that `apps create` sets. */
export const appFieldsOfCreate: readonly Field<App>[] = [
  ...v2ContainerFields,
  envFieldOfCreate,
  secretEnvFieldOfCreate,
  ...ownFields,
  ...moreContainerFields,
];
/** The fields that `apps update` changes. */
export const appFieldsOfUpdate: readonly Field<App>[] = [...v2ContainerFields, envField, secretEnvField, ...ownFields, ...moreContainerFields];
