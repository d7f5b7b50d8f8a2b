import { NAMES_COMMAND } from "../../command/command.ts";
import type { Place } from "./describe-table.ts";
import { type Case, scriptCases, titleOf } from "./script-parts.ts";

const WALK = `
# Prints what may stand in place of the unfinished word, a line each.
function __nebulactl_offer
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l current (commandline -ct)
    set -l place ''
    set -l value
    set -l prefix ''
    set -l number 0
    for word in $typed
        if test -n "$value"
            set value
            continue
        end
        switch $word
            case '-*=*'
            case '-*'
                set value (__nebulactl_value "$place:"(string replace -a _ - -- $word))
            case '*'
                set -l next (__nebulactl_step (string trim -- "$place "(string replace -a _ - -- $word)))
                if test -n "$next"
                    set place $next
                else
                    set number (math $number + 1)
                end
        end
    end
    if test -z "$value"
        if string match -q -- '--*=*' $current
            set -l flag (string replace -r '=.*' '' -- $current)
            set prefix "$flag="
            set current (string replace -r '^[^=]*=' '' -- $current)
            set value (__nebulactl_value "$place:"(string replace -a _ - -- $flag))
        else if string match -q -- '-*' $current
            __nebulactl_flags "$place" | string replace "|" \\t
            return
        else
            set value (__nebulactl_argument "$place:$number")
            if test -z "$value"
                __nebulactl_next "$place" | string replace "|" \\t
                return
            end
        end
    end
    switch "$value[1]"
        case files
            __fish_complete_path "$current" | string replace -r '^' -- "$prefix"
            return
        case names
            if string match -q '*,*' -- $current
                set prefix $prefix(string replace -r '[^,]*$' '' -- $current)
            end
            set value $value[1] (command nebulactl ${NAMES_COMMAND} $value[2] $typed 2>/dev/null)
    end
    for word in $value[2..]
        printf '%s\\n' $prefix$word
    end
end

complete -c nebulactl -e
complete -c nebulactl -f -a '(__nebulactl_offer)'
`;

/** The script for fish. */
export function fishScript(places: readonly Place[]): string {
  const { step, value, argument, next, flags } = scriptCases(places, true);
  const all = { step, value, argument, next, flags };
  return `${titleOf("fish")}\n${Object.entries(all)
    .map(([name, cases]) => printing(name, cases))
    .join("")}${WALK}`;
}

/** A function that prints lines, and fails if no case fits. */
function printing(name: string, cases: readonly Case[]): string {
  const lines = cases.map(
    ({ texts, lines }) => `        case ${texts.map(quoted).join(" ")}\n            printf '%s\\n' ${lines.map(quoted).join(" ")}\n`,
  );
  return `\nfunction __nebulactl_${name}\n    switch "$argv[1]"\n${lines.join("")}        case '*'\n            return 1\n    end\nend\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
