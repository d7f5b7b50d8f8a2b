import type { Explanation } from "../../../../../gen/nebula/v1/explain_pb.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { type Chain, chainsOf, type Link, type LinkState, restOf } from "./explanation-chain.ts";

const WORDS: Readonly<Record<LinkState, string>> = { done: "done", working: "under way", stuck: "stuck here", ahead: "not yet", offline: "offline" };
const FILLS: Readonly<Record<LinkState, string>> = { done: "applied", working: "working", stuck: "failed", ahead: "never-came", offline: "offline" };

/** The way of each app and cron_job to the device, link by link; those that are stuck are open, and one that is alone. */
export function Chains({ explanation }: Readonly<{ explanation: Explanation }>) {
  const chains = chainsOf(explanation);
  const rest = restOf(explanation);
  return (
    <>
      {chains.map((chain) => (
        <details key={chain.key} class="chain" open={chain.isStuck || chains.length === 1}>
          <summary>
            <span class="name">
              <bdi>{chain.title}</bdi>
            </span>
            <Way links={chain.links} />
            <span class={chain.isStuck ? "" : "faint"}>{placeText(chain)}</span>
          </summary>
          <ol class="links">
            {chain.links.map((link) => (
              <li key={link.name} class={`link link-${link.state}`}>
                <span class="link-name">{link.name}</span>
                <span class={`link-state${link.state === "stuck" ? " state-failed" : " faint"}`}>{WORDS[link.state]}</span>
                <div class="link-lines">
                  {link.lines.map((line) => (
                    <p key={line} class="device-text">
                      {line}
                    </p>
                  ))}
                  {link.name === "desired" && chain.change !== undefined && <a href={chain.change}>The change on its way to all devices</a>}
                </div>
              </li>
            ))}
          </ol>
          <AdviceLines advice={chain.advice} />
        </details>
      ))}
      {rest.lines.map((line) => (
        <p key={line} class="device-text">
          {line}
        </p>
      ))}
      <AdviceLines advice={rest.advice} />
    </>
  );
}

/** Five dots in a line, for the eye. */
function Way({ links }: Readonly<{ links: readonly Link[] }>) {
  return (
    <svg class="way" width="104" height="12" viewBox="0 0 104 12" aria-hidden="true">
      <line class="way-line" x1="6" y1="6" x2="98" y2="6" />
      {links.map(({ name, state }, index) => (
        <circle key={name} class={`fill-${FILLS[state]}`} cx={6 + index * 23} cy="6" r="5" />
      ))}
    </svg>
  );
}

function placeText({ links, isStuck }: Chain): string {
  const at = links.find(({ state }) => state === "stuck" || state === "working");
  if (!isStuck || at === undefined) return "as wanted";
  return `${at.state === "working" ? "under way" : "stuck"} at ${at.name}`;
}

function AdviceLines({ advice }: Readonly<{ advice: Chain["advice"] }>) {
  if (advice.length === 0) return null;
  return (
    <ul class="advice" aria-label="What to do">
      {advice.map(({ text, command }) => (
        <li key={`${text} ${command}`}>
          <p class="device-text">{text}</p>
          {command !== "" && <CommandLine line={command} label="Do" />}
        </li>
      ))}
    </ul>
  );
}
