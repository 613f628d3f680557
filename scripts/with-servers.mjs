/**
 * Runs a command with DATABASE_URL, REDIS_URL and ZOOKEEPER_HOSTS of servers that it starts once
 * for this command. A variable that is already set is used unchanged. Runs on the pinned Node.
 */
import { testPostgres, testRedis, testZooKeeper } from '../libs/servers/src/index.ts';
import { runChild } from './child.mjs';

/** The server of each variable. Only the first is required. */
const kinds = [
  { name: 'DATABASE_URL', start: testPostgres, addressOf: ({ server }) => server.url, required: true },
  { name: 'REDIS_URL', start: testRedis, addressOf: ({ server }) => server.url },
  { name: 'ZOOKEEPER_HOSTS', start: testZooKeeper, addressOf: ({ hosts }) => hosts },
];

const [command, ...words] = process.argv.slice(2);
const own = [];
try {
  const env = { ...process.env };
  // Waits for each start, so that the started servers are removed when another one fails.
  const started = await Promise.allSettled(
    kinds.filter(({ name }) => !process.env[name]).map((kind) => startOne(kind, env)),
  );
  const failure = started.find(({ status }) => status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  process.exitCode = (await runChild(command, words, { env })).code;
} finally {
  await Promise.all(own.map((server) => server.remove()));
}

async function startOne({ name, start, addressOf, required }, env) {
  try {
    const server = await start();
    own.push(server);
    env[name] = addressOf(server);
  } catch (error) {
    if (required) throw error;
    // Each test that needs the server fails with one line about it.
    console.error(`${name}: none: ${error.message}`);
  }
}
