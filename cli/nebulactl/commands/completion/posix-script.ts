import { NAMES_COMMAND } from "../../command/command.ts";
import type { Place } from "./describe-table.ts";
import { type Case, FILES_LINE, scriptCases, titleOf } from "./script-parts.ts";

/** The walk through a command line, which bash and zsh read alike. */
const WALK = `
# Copies lines; where the unfinished word $1 has _ in place of -, so have their words.
_nebulactl_spelled() {
  local line name dashes
  while IFS= read -r line; do
    if [[ $1 == *_* ]]; then
      name="\${line%%'|'*}"
      line="\${line#"$name"}"
      dashes=''
      if [[ $name == --* ]]; then dashes='--'; fi
      name="\${name#--}"
      line="$dashes\${name//-/_}$line"
    fi
    printf '%s\\n' "$line"
  done
}

# Prints what may stand in place of the unfinished word, a line each.
# $1: that word; the others: the words before it, without the program's.
_nebulactl_offer() {
  local current="$1" place='' value='' prefix='' number=0 word REPLY
  shift
  for word in "$@"; do
    if [[ -n $value ]]; then
      value=''
      continue
    fi
    case "$word" in
      -*=*) ;;
      -*)
        _nebulactl_value "$place:\${word//_/-}"
        value="$REPLY"
        ;;
      *)
        _nebulactl_step "\${place:+$place }\${word//_/-}"
        if [[ -n $REPLY ]]; then place="$REPLY"; else number=$((number + 1)); fi
        ;;
    esac
  done
  if [[ -z $value && $current == --*=* ]]; then
    word="\${current%%=*}"
    prefix="$word="
    current="\${current#*=}"
    _nebulactl_value "$place:\${word//_/-}"
    value="$REPLY"
  elif [[ -z $value && $current == -* ]]; then
    _nebulactl_flags "$place" | _nebulactl_spelled "$current"
    return
  elif [[ -z $value ]]; then
    _nebulactl_argument "$place:$number"
    value="$REPLY"
    if [[ -z $value ]]; then
      _nebulactl_next "$place" | _nebulactl_spelled "$current"
      return
    fi
  fi
  case "$value" in
    files)
      printf '${FILES_LINE}|%s\\n' "$prefix"
      return
      ;;
    names*)
      if [[ $current == *,* ]]; then prefix="$prefix\${current%,*},"; fi
      value="$(command nebulactl ${NAMES_COMMAND} "\${value#names?}" "$@" 2>/dev/null)"
      ;;
    words*) value="\${value#words?}" ;;
    *) return ;;
  esac
  while IFS= read -r word; do
    if [[ -n $word ]]; then printf '%s\\n' "$prefix$word"; fi
  done <<< "$value"
}
`;

const BASH = `
_nebulactl() {
  local rest="\${COMP_LINE:0:COMP_POINT}" index last current cut='' word help breaks="\${COMP_WORDBREAKS//[^=:]/}"
  local -a typed
  COMPREPLY=()
  # web:rw and --output=json are several words of COMP_WORDS, and one of the command line.
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    last=$((\${#typed[@]} - 1))
    if ((index == 0)) || [[ $rest == [[:space:]]* ]]; then
      rest="\${rest#"\${rest%%[![:space:]]*}"}"
      last=$((last + 1))
    fi
    if ((index == COMP_CWORD)); then word="$rest"; fi
    typed[last]="\${typed[last]}$word"
    rest="\${rest#"$word"}"
  done
  last=$((\${#typed[@]} - 1))
  current="\${typed[last]}"
  # readline replaces only what follows the last of the characters at which it breaks words
  if [[ -n $breaks && $current == *["$breaks"]* ]]; then cut="\${current%"\${current##*["$breaks"]}"}"; fi
  while IFS='|' read -r word help; do
    if [[ $word == '${FILES_LINE}' ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY[\${#COMPREPLY[@]}]="$word"; done < <(compgen -f -- "\${current#"$help"}")
    elif [[ $word == "$current"* ]]; then
      COMPREPLY[\${#COMPREPLY[@]}]="\${word#"$cut"}"
    fi
  done < <(_nebulactl_offer "$current" "\${typed[@]:1:last-1}")
}

complete -F _nebulactl nebulactl
`;

const ZSH = `
_nebulactl() {
  local word help
  local -a typed offered
  if ((CURRENT > 2)); then typed=("\${(@Q)words[2,CURRENT-1]}"); fi
  while IFS='|' read -r word help; do
    if [[ $word == '${FILES_LINE}' ]]; then
      if [[ -n $help ]]; then compset -P '*='; fi
      _files
      return
    fi
    offered+=("\${word//:/\\\\:}\${help:+:$help}")
  done < <(_nebulactl_offer "$PREFIX" "\${typed[@]}")
  _describe -t words 'nebulactl' offered
}

# As a file _nebulactl in a folder of fpath, or sourced.
if [[ "\${funcstack[1]}" == _nebulactl ]]; then
  _nebulactl "$@"
else
  compdef _nebulactl nebulactl
fi
`;

/** The script for bash, 3.2 and newer. */
export function bashScript(places: readonly Place[]): string {
  return `${titleOf("bash")}\n${functions(places, false)}${WALK}${BASH}`;
}

/** The script for zsh. */
export function zshScript(places: readonly Place[]): string {
  return `#compdef nebulactl\n${titleOf("zsh")}\n${functions(places, true)}${WALK}${ZSH}`;
}

function functions(places: readonly Place[], help: boolean): string {
  const { step, value, argument, next, flags } = scriptCases(places, help);
  return [answering("step", step), answering("value", value), answering("argument", argument), printing("next", next), printing("flags", flags)].join(
    "",
  );
}

/** A function that sets REPLY; empty if no case fits. */
function answering(name: string, cases: readonly Case[]): string {
  const lines = cases.map(
    ({ texts, lines }) => `    ${texts.map(quoted).join(" | ")}) REPLY=${lines.length === 1 ? quoted(lines[0] ?? "") : ansi(lines)} ;;\n`,
  );
  return `\n_nebulactl_${name}() {\n  case "$1" in\n${lines.join("")}    *) REPLY='' ;;\n  esac\n}\n`;
}

/** A function that prints lines, and fails if no case fits. */
function printing(name: string, cases: readonly Case[]): string {
  const lines = cases.map(
    ({ texts, lines }) => `    ${texts.map(quoted).join(" | ")})\n      cat << 'WORDS'\n${lines.join("\n")}\nWORDS\n      ;;\n`,
  );
  return `\n_nebulactl_${name}() {\n  case "$1" in\n${lines.join("")}    *) return 1 ;;\n  esac\n}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Several lines as one word of the shell. */
function ansi(lines: readonly string[]): string {
  return `$'${lines.join("\n").replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n")}'`;
}
