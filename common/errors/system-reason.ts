import { userInfo } from "node:os";
import { messageOf } from "./nebula-error.ts";

/** Why the system refused a file or a folder, in plain words: no codes, no names of system calls. */
export function systemReason(error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return "it does not exist";
    case "EACCES":
    case "EPERM":
      return `user ${userName()} has no permission`;
    case "EISDIR":
      return "it is a folder";
    case "ENOTDIR":
      return "a part of its path is a file, not a folder";
    case "EEXIST":
      return "a file of that name exists";
    case "EROFS":
      return "the file system is read-only";
    case "ENOSPC":
    case "EDQUOT":
      return "the disk is full";
    case "ENAMETOOLONG":
      return "its name is too long";
    case "ELOOP":
      return "its links lead in a circle";
    case "EMFILE":
    case "ENFILE":
      return "too many files are open";
    default:
      return messageOf(error);
  }
}

/** Node's code of an error: `ENOENT`; undefined: it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** `nebula (uid 1000)`; the number alone where the system knows no name for it. */
function userName(): string {
  try {
    const { username, uid } = userInfo();
    return `${username} (uid ${uid})`;
  } catch {
    return `with uid ${process.getuid?.() ?? "unknown"}`;
  }
}
