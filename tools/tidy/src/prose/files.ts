/** Which files are read as prose. */
const ending =
  /\.(ts|mjs|js|md|sql|ya?ml|sh|xml|conf|properties|txt)$|(^|\/)(Dockerfile|\.env\.example|run)$/;
/**
 * The rules and their test name what they ban. The licence is not ours to reword. A migration that
 * has run keeps its checksum, so its comments stay as they are.
 */
const exempt = /^tools\/tidy\/src\/prose(\/|\.test)|^package-lock\.json$|^LICENSE$|\/migrations\//;

export function proseFiles(files: readonly string[]): string[] {
  return files.filter((file) => ending.test(file) && !exempt.test(file));
}
