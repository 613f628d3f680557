/** Runs a command with DATABASE_URL naming a server of its own, unless one is named already. Runs on the pinned Node. */
import { testPostgres } from '../libs/servers/src/index.ts';
import { runChild } from './child.mjs';

const [command, ...words] = process.argv.slice(2);
if (process.env.DATABASE_URL) {
  process.exitCode = (await runChild(command, words, { env: process.env })).code;
} else {
  const own = await testPostgres();
  try {
    const env = { ...process.env, DATABASE_URL: own.server.url };
    process.exitCode = (await runChild(command, words, { env })).code;
  } finally {
    await own.remove();
  }
}
