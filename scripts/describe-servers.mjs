/**
 * Prints, as one JSON document, which servers and tools the tests will use; what is missing and can be fetched is fetched, and said
 * on stderr. Runs on the pinned Node, after the install.
 */
import path from 'node:path';
import {
  describeJava,
  describePostgres,
  describeRedis,
  describeZooKeeperAndKafka,
  findMosquittoClients,
} from '../libs/servers/src/index.ts';

const toolsDir = path.resolve(import.meta.dirname, '../.mesh/tools');
const say = (line) => console.error(line);
const clients = await findMosquittoClients(toolsDir, process.env.PATH ?? '');
const java = await describeJava(say);
const servers = [
  { name: 'PostgreSQL', neededBy: ['integration', 'e2e', 'mutants'], ...(await describePostgres()) },
  { name: 'Redis', neededBy: ['integration', 'e2e'], ...(await describeRedis(say)) },
  { name: 'Java', neededBy: ['integration', 'e2e', 'mutants'], ...java },
  // Without Java there is one reason, not two.
  ...(java.ok
    ? [
        {
          name: 'ZooKeeper and Kafka',
          neededBy: ['integration', 'e2e', 'mutants'],
          ...(await describeZooKeeperAndKafka(say)),
        },
      ]
    : []),
  'missing' in clients
    ? { name: 'mosquitto clients', neededBy: [], ok: false, text: clients.missing }
    : { name: 'mosquitto clients', neededBy: [], ok: true, text: clients.origin },
];
process.stdout.write(JSON.stringify(servers));
