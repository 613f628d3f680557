/**
 * Prints one JSON document with the servers and tools that the tests will use. It fetches missing
 * ones where it can, and reports that on stderr. Runs on the pinned Node, after the install.
 */
import path from 'node:path';
import {
  describeJava,
  describePostgres,
  describeRedis,
  describeZooKeeperAndKafka,
  findMosquittoClients,
  findStrace,
} from '../libs/servers/src/index.ts';

const toolsDir = path.resolve(import.meta.dirname, '../.mesh/tools');
const say = (line) => console.error(line);
const clients = await findMosquittoClients(toolsDir, process.env.PATH ?? '');
const strace = await findStrace(toolsDir, process.env.PATH ?? '');
const java = await describeJava(say);
const servers = [
  { name: 'PostgreSQL', neededBy: ['integration', 'e2e', 'mutants'], ...(await describePostgres()) },
  { name: 'Redis', neededBy: ['integration', 'e2e'], ...(await describeRedis(say)) },
  { name: 'Java', neededBy: ['integration', 'e2e', 'mutants'], ...java },
  // Without Java, one missing server is reported, not two.
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
  'missing' in strace
    ? { name: 'strace', neededBy: [], ok: false, text: strace.missing }
    : { name: 'strace', neededBy: [], ok: true, text: strace.origin },
];
process.stdout.write(JSON.stringify(servers));
