import type { ContainerSpec, HealthcheckSpec, PortBinding } from "../../common/desired/container-spec.ts";
import { isEveryAddress, publishedPort } from "../../common/net/published-address.ts";
import { splitNameValue } from "../../common/text/name-value.ts";
import { normaliseImageReference } from "../../common/validation/container/image-reference.ts";
import { standsAlone } from "../../common/validation/container/network.ts";
import { isNebulaLabel } from "../observed/labels.ts";
import type { ComparedContainer } from "../observed/observed.ts";
import type { ContainerDetails, ImageDetails } from "../runtime/container-runtime.ts";

/**
 * Whether a container whose spec no label tells is what the spec asks for, by what inspect shows. The fields of v2 are compared exactly; of the rest,
 * with `everyField`, what the spec leaves out has to be as the image has it, otherwise only what the spec says is compared.
 */
export function fits({ details, image }: ComparedContainer, spec: ContainerSpec, everyField: boolean): boolean {
  if (image === undefined) return false;
  return fitsV2(details, image, spec) && fitsTheRest(details.spec, image, spec, everyField);
}

/**
 * Whether a container is what its label names, over v2's fields: one that somebody made by hand under copied labels is
 * not. Networks are left to the plan, which connects what is missing and leaves what somebody added; only a mode that
 * stands alone has to be the same.
 */
export function fitsItsLabel({ details, image }: ComparedContainer, spec: ContainerSpec): boolean {
  const env = variables(details.env);
  const { networks } = details.container;
  return (
    (image === undefined ? hasAll(env, spec.env) : sameMap(env, { ...variables(image.env), ...spec.env })) &&
    fitsItsHost(details, spec) &&
    (standsAlone(spec.networks) ? sameSet(networks, spec.networks) : !standsAlone(networks))
  );
}

function fitsV2(details: ContainerDetails, image: ImageDetails, spec: ContainerSpec): boolean {
  return (
    sameMap(variables(details.env), { ...variables(image.env), ...spec.env }) &&
    fitsItsHost(details, spec) &&
    sameSet(details.container.networks, spec.networks)
  );
}

/** The image, and what a container has of its host. */
function fitsItsHost(details: ContainerDetails, spec: ContainerSpec): boolean {
  return (
    normaliseImageReference(details.container.image) === spec.image &&
    sameSet(details.portBindings.map(bindingText), spec.ports.map(bindingText)) &&
    sameSet(details.binds.map(normalBind), spec.volumes.map(normalBind)) &&
    sameSet(details.devices.map(normalDevice), spec.devices.map(normalDevice)) &&
    details.privileged === spec.privileged &&
    details.restartPolicy === spec.restartPolicy
  );
}

function fitsTheRest(actual: ContainerSpec, image: ImageDetails, spec: ContainerSpec, everyField: boolean): boolean {
  const same = <T>(value: T, wanted: T, isDefault: boolean, byDefault: T, equal: (a: T, b: T) => boolean) =>
    isDefault ? !everyField || equal(value, byDefault) : equal(value, wanted);
  const list = (value: readonly string[], wanted: readonly string[], byDefault: readonly string[] = []) =>
    same(value, wanted, wanted.length === 0, byDefault, sameList);
  const plain = <T extends string | number | boolean>(value: T, wanted: T, none: T, byDefault: T = none) =>
    same(value, wanted, wanted === none, byDefault, (a, b) => a === b);
  const map = (value: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>) =>
    same(value, wanted, Object.keys(wanted).length === 0, {}, sameMap);
  return (
    // An entrypoint of its own leaves the image's command out.
    list(actual.command, spec.command, spec.entrypoint.length > 0 ? [] : image.command) &&
    list(actual.entrypoint, spec.entrypoint, image.entrypoint) &&
    same(actual.healthcheck, spec.healthcheck, spec.healthcheck === undefined, image.healthcheck, sameHealthcheck) &&
    plain(actual.cpus, spec.cpus, 0) &&
    plain(actual.memoryBytes, spec.memoryBytes, 0) &&
    same(actual.logging, spec.logging, spec.logging === undefined, undefined, sameLogging) &&
    fitsLabels(actual, image, spec, everyField) &&
    list(sorted(actual.capAdd), sorted(spec.capAdd)) &&
    list(sorted(actual.capDrop), sorted(spec.capDrop)) &&
    list(sorted(actual.ulimits.map(ulimitText)), sorted(spec.ulimits.map(ulimitText))) &&
    plain(actual.user, spec.user, "", image.user) &&
    plain(actual.workingDir, spec.workingDir, "", image.workingDir) &&
    plain(actual.hostname, spec.hostname, "") &&
    list(actual.extraHosts, spec.extraHosts) &&
    plain(actual.shmBytes, spec.shmBytes, 0) &&
    map(actual.tmpfs, spec.tmpfs) &&
    plain(actual.readOnly, spec.readOnly, false) &&
    plain(actual.init, spec.init, false)
  );
}

/** The spec's labels are there; with `everyField` no others are, but for Nebula's own and the image's. */
function fitsLabels(actual: ContainerSpec, image: ImageDetails, spec: ContainerSpec, everyField: boolean): boolean {
  const isWanted = Object.entries(spec.labels).every(([key, value]) => actual.labels[key] === value);
  const isKnown = ([key, value]: [string, string]) => Object.hasOwn(spec.labels, key) || isNebulaLabel(key) || image.labels[key] === value;
  return isWanted && (!everyField || Object.entries(actual.labels).every(isKnown));
}

function variables(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(lines.map(splitNameValue));
}

/** A port on 0.0.0.0 or :: is as good as one on every address. */
function bindingText({ hostPort, containerPort, protocol, address = "" }: PortBinding): string {
  return `${publishedPort(isEveryAddress(address) ? "" : address, hostPort)}:${containerPort}/${protocol}`;
}

/** rw is what a mount is without a mode. */
function normalBind(bind: string): string {
  return bind.endsWith(":rw") ? bind.slice(0, -":rw".length) : bind;
}

/** `host[:container[:rwm]]` with its defaults filled in. */
function normalDevice(device: string): string {
  const [host = "", second, third] = device.split(":");
  if (second === undefined) return `${host}:${host}:rwm`;
  if (third === undefined && /^[rwm]{1,3}$/.test(second)) return `${host}:${host}:${second}`;
  return `${host}:${second}:${third ?? "rwm"}`;
}

function ulimitText({ name, soft, hard }: ContainerSpec["ulimits"][number]): string {
  return `${name}=${soft}:${hard}`;
}

function sameHealthcheck(a: HealthcheckSpec | undefined, b: HealthcheckSpec | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameList(a.test, b.test) &&
    a.intervalMs === b.intervalMs &&
    a.timeoutMs === b.timeoutMs &&
    a.retries === b.retries &&
    a.startPeriodMs === b.startPeriodMs
  );
}

function sameLogging(a: ContainerSpec["logging"], b: ContainerSpec["logging"]): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.driver === b.driver && sameMap(a.options, b.options);
}

function sameMap(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

function hasAll(map: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([key, value]) => map[key] === value);
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return sameList(sorted([...new Set(a)]), sorted([...new Set(b)]));
}

function sorted(values: readonly string[]): readonly string[] {
  return [...values].sort();
}
