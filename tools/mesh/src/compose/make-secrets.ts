/**
 * The program of the one-shot container `secrets`. It creates missing secrets at random, once. Each
 * file belongs to root and to the group that may read it; docker-compose.yml gives each container
 * the groups of its secrets.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { main } from '@thermomesh/runtime';
import { readSecretsConfig } from './config.ts';
import { secretGroups, serviceUser } from './secret-files.ts';

await main(async () => {
  const { secretsDir, keysDir } = readSecretsConfig();
  const made: string[] = [];
  const read = (name: string) => readFileSync(path.join(secretsDir, name), 'utf8').trim();
  const random = () => randomBytes(32).toString('base64url');
  const contentOf: Record<keyof typeof secretGroups, () => string> = {
    secret: random,
    'billing.secret': random,
    'processor.secret': random,
    'checkout.secret': random,
    'postgres.password': random,
    'database.url': () => `postgresql://thermomesh:${read('postgres.password')}@postgres:5432/thermomesh`,
    'redis.password': random,
    'redis.url': () => `redis://:${read('redis.password')}@redis:6379/0`,
    'redis.conf': () => `requirepass ${read('redis.password')}`,
    'grafana.password': random,
  };
  for (const [name, group] of Object.entries(secretGroups)) {
    const file = path.join(secretsDir, name);
    if (existsSync(file)) continue;
    const content = contentOf[name as keyof typeof secretGroups]();
    writeFileSync(file, `${content}\n`, { mode: 0o440, flag: 'wx' });
    chmodSync(file, 0o440);
    chownSync(file, 0, group);
    made.push(name);
  }
  mkdirSync(keysDir, { recursive: true });
  // The mesh command creates API keys, and it does not run as root.
  if (statSync(keysDir).uid !== serviceUser) {
    chmodSync(keysDir, 0o700);
    chownSync(keysDir, serviceUser, serviceUser);
  }
  console.log(JSON.stringify({ event: 'secrets.ready', made }));
});
