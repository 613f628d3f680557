/**
 * Reads which settings each program has, and makes the list of them in libs/runtime. The list is
 * written by `node tools/tidy/src/settings/names.ts`.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { repository } from '../repository.ts';

/** The functions that read the settings, by program. */
const readers: Record<string, { file: string; read: string; words?: string[] }> = {
  analytics: { file: 'services/analytics/src/config.ts', read: 'readNodeConfig' },
  billing: { file: 'services/billing/src/config.ts', read: 'readBillingConfig' },
  'card-processor': { file: 'apps/card-processor/src/config.ts', read: 'readProcessorConfig' },
  equalizer: { file: 'services/equalizer/src/config.ts', read: 'readEqualizerConfig' },
  fleet: { file: 'apps/thermostat/src/config.ts', read: 'simulateConfig', words: [] },
  gateway: { file: 'services/gateway/src/config.ts', read: 'readGatewayConfig' },
  links: { file: 'tools/mesh/src/local/links/config.ts', read: 'readLinksConfig' },
  mesh: { file: 'tools/mesh/src/config.ts', read: 'readMeshConfig' },
  'mesh in containers': { file: 'tools/mesh/src/compose/config.ts', read: 'readComposeConfig' },
  'secrets of containers': { file: 'tools/mesh/src/compose/config.ts', read: 'readSecretsConfig' },
};

export const listFile = 'libs/runtime/src/setting-names.ts';

/** The names of the settings that each program reads, sorted. */
export async function readSettingNames(): Promise<Record<string, string[]>> {
  const names: Record<string, string[]> = {};
  for (const [program, { file, read, words }] of Object.entries(readers)) {
    const module = (await import(path.join(repository, file))) as Record<string, unknown>;
    names[program] = namesReadBy((env) => {
      const reader = module[read] as (...parameters: unknown[]) => unknown;
      return words === undefined ? reader(env) : reader(words, env);
    });
  }
  return names;
}

/** The names that `read` looks up in its environment; its result and its errors do not matter. */
function namesReadBy(read: (env: NodeJS.ProcessEnv) => unknown): string[] {
  const seen = new Set<string>();
  const env = new Proxy<NodeJS.ProcessEnv>(
    {},
    {
      get(_, name) {
        if (typeof name === 'string') seen.add(name);
        return undefined;
      },
    },
  );
  try {
    read(env);
  } catch {
    // Required settings are missing, of course.
  }
  return [...seen]
    .filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name))
    .filter((name) => !(name.endsWith('_FILE') && seen.has(name.slice(0, -'_FILE'.length))))
    .sort();
}

/** The source text of the list. */
export function listOf(names: Record<string, string[]>): string {
  const entries = Object.entries(names).map(([program, list]) => {
    const key = /^[a-z]+$/.test(program) ? program : `'${program}'`;
    return `  ${key}: [\n${list.map((name) => `    '${name}',\n`).join('')}  ],\n`;
  });
  return `/**
 * The names of the settings of all programs, so that a misspelt one is known from a variable of
 * another program. Made by \`node tools/tidy/src/settings/names.ts\`; a test compares it with the
 * schemas. A name also stands for its form with _FILE, which names a file that contains the value.
 */
// prettier-ignore
export const settingNames = {
${entries.join('')}} as const;

/** The names of the settings of all programs. */
export const allSettingNames: ReadonlySet<string> = new Set(Object.values(settingNames).flat());
`;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(path.join(repository, listFile), listOf(await readSettingNames()));
