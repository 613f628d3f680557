/** Prints, as one JSON document, which servers and tools the tests will use. Runs on the pinned Node, after the install. */
import path from 'node:path';
import { describePostgres, findMosquittoClients } from '../libs/servers/src/index.ts';

const toolsDir = path.resolve(import.meta.dirname, '../.mesh/tools');
const clients = await findMosquittoClients(toolsDir, process.env.PATH ?? '');
const servers = [
  { name: 'PostgreSQL', neededBy: ['integration', 'e2e', 'mutants'], ...(await describePostgres()) },
  'missing' in clients
    ? { name: 'mosquitto clients', neededBy: [], ok: false, text: clients.missing }
    : { name: 'mosquitto clients', neededBy: [], ok: true, text: clients.origin },
];
process.stdout.write(JSON.stringify(servers));
