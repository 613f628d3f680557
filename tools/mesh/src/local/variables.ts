/** Which variables `--env` may give to which process of the mesh. */
import { didYouMean, settingNames } from '@thermomesh/runtime';

type Program = keyof typeof settingNames;

/** The program of a process, by the process's name without its number. */
const programs: Record<string, Program> = {
  billing: 'billing',
  'card-processor': 'card-processor',
  equalizer: 'equalizer',
  fleet: 'fleet',
  gateway: 'gateway',
  links: 'links',
  node: 'analytics',
};
/** Processes that are configured by files, and take no variables. */
const servers = new Set(['postgres', 'redis', 'zookeeper', 'kafka']);
/** Variables of Node and of the libraries below it, which every process may be given. */
const ofPlatform =
  /^(NODE_(OPTIONS|DEBUG|EXTRA_CA_CERTS|V8_COVERAGE|COMPILE_CACHE)|UV_THREADPOOL_SIZE|(MALLOC|VIPS|LC|LD)_\w+|TZ|TMPDIR|LANG|HOME|PATH|SSL_CERT_(FILE|DIR)|https?_proxy|no_proxy|(HTTPS?|NO)_PROXY)$/;

/**
 * Describes why the process does not take this variable; undefined if it does. A process that no
 * mesh has is refused later, when the processes of this mesh are known.
 */
export function variableIssue(process: string, key: string): string | undefined {
  const kind = process.replace(/-\d+$/, '');
  if (servers.has(kind)) return `${process} takes no variables.`;
  const program = programs[kind];
  if (program === undefined || ofPlatform.test(key)) return undefined;
  const names: readonly string[] = settingNames[program];
  if (names.includes(key) || (key.endsWith('_FILE') && names.includes(key.slice(0, -'_FILE'.length))))
    return undefined;
  return `${process} has no setting ${key}${didYouMean(key, names) || '.'}`;
}
