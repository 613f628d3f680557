export const layerOf: Record<string, string>;
export const mayImport: Record<string, string[]>;
export const homeOf: Record<string, string[]>;
export function offence(file: string, source: string): string | undefined;
