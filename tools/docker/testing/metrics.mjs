/** Sends the queries of the dashboard to the Prometheus of the profile "metrics". */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { deriveToken, subjects } from '../../../libs/runtime/src/index.ts';
import { until } from './project.mjs';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');
const dashboard = path.join(root, 'tools/docker/metrics/grafana/dashboards/thermomesh.json');
const seriesTimeoutMs = 90_000;
const askPauseMs = 3_000;
const publishTimeoutMs = 10_000;
/** Gateway, five nodes, two replicas of billing, five of the equalizer, the card processor. */
const targetCount = 14;

/**
 * Starts Prometheus. During the faults it evaluates every expression of the dashboard that has had
 * no series yet: some count events that happen only then, and a restarted container counts from
 * zero.
 * @param {import('./project.mjs').Project} project
 */
export async function watchDashboard(project) {
  const words = ['up', '--detach', '--no-deps', '--no-build', '--quiet-pull', 'prometheus'];
  await project.compose({}, '--profile', 'metrics', ...words);
  const everything = async () => (await query(project, 'up == 1')).length === targetCount;
  await until('every target to be scraped', seriesTimeoutMs, everything);
  const { panels } = JSON.parse(readFileSync(dashboard, 'utf8'));
  const asked = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
  let empty = asked;
  let over = false;
  const ask = async () => {
    await publishForAnother(project);
    const answers = await Promise.all(empty.map(async ({ expr }) => query(project, expr)));
    empty = empty.filter((_, index) => answers[index].length === 0);
    return empty.length === 0;
  };
  const loop = (async () => {
    while (!over && !(await ask())) await delay(askPauseMs);
  })();
  loop.catch(() => undefined);
  return {
    /** @returns {Promise<number>} the number of expressions; every one has had a series */
    async end() {
      over = true;
      await loop;
      await until('every expression to have series', seriesTimeoutMs, ask).catch((error) => {
        const without = empty.map(({ title, expr }) => `"${title}": ${expr}`).join('; ');
        throw new Error(`${error.message}: none for ${without}`);
      });
      return asked.length;
    },
  };
}

async function query({ url }, text) {
  const answer = await fetch(url('PROMETHEUS', `/api/v1/query?query=${encodeURIComponent(text)}`)).then(
    async (response) => response.json(),
    // Prometheus is not up yet.
    () => ({ status: 'silent' }),
  );
  if (answer.status === 'error') throw new Error(`${text}: ${answer.error}`);
  return answer.data?.result ?? [];
}

/** Publishes under another device's name, which the gateway refuses and counts. */
async function publishForAnother({ home, name, ports }) {
  const device = 'impostor';
  const secret = readFileSync(path.join(home, `compose-${name}`, 'secret'), 'utf8').trim();
  const place = ['-h', '127.0.0.1', '-p', ports.MQTT_PORT, '-i', device];
  const who = ['-u', device, '-P', deriveToken(secret, subjects.device(device))];
  const what = ['-t', 'thermostat/data/another-device', '-m', '{}'];
  const words = [path.join(root, 'node_modules/.bin/mqtt_pub'), ...place, ...who, ...what];
  // The gateway closes the connection, or is dead at that moment; both are expected.
  await run(process.execPath, words, { timeout: publishTimeoutMs }).catch(() => undefined);
}
