/**
 * What people read of a file that cannot be used as they wished.
 * @module
 */

/** Why the system would not, in a few words without a period. */
export function fileTrouble(cause: unknown): string {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return CAUSES[code] ?? message;
}

const CAUSES: Record<string, string> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "what should be its folder is a file",
  EACCES: "permission denied for the user that sotto runs as",
  EPERM: "it is somebody else's",
  EISDIR: "it is a folder",
  ERR_FS_EISDIR: "it is a folder",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
};
