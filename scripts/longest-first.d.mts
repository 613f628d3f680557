export const slow: readonly string[];
export function longestFirst(files: readonly string[]): string[];
