/**
 * The whole mesh in containers, for real: images built, brought up from the previous commit's, upgraded one service at a time under
 * load, its coordinator killed, a network cut, judged, and taken down without a trace. Runs on the pinned Node (`npm run test:compose`).
 *
 * Exit code 0: passed; 1: failed; 77: it did not run, because there is no container engine here and none can be started.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freeLastingPort } from '../libs/servers/src/index.ts';
import { ensureBaseImages } from '../tools/docker/base-images.mjs';
import { findEngine } from '../tools/docker/engine.mjs';
import { root } from './install.mjs';

const run = promisify(execFile);
const notRunCode = 77;
const project = `thermomesh-test-${randomBytes(3).toString('hex')}`;
const home = mkdtempSync(path.join(os.tmpdir(), 'thermomesh-compose-'));
const outputBytesMax = 64 * 1024 * 1024;
const waitTimeoutMs = 120_000;
const waitSeconds = 120;
/** Versions of the images, beside those that somebody uses here. */
const current = `${project}-new`;
const previous = `${project}-old`;
const previousFolder = path.join(home, 'previous');
/** In the order of an upgrade: what others stand on first, the gateway last. */
const migrations = ['migrate-analytics', 'migrate-billing', 'migrate-gateway'];
const rolled = [
  'card-processor',
  'billing-1',
  'billing-2',
  'node-1',
  'node-2',
  'node-3',
  'node-4',
  'node-5',
  'equalizer-1',
  'equalizer-2',
  'equalizer-3',
  'equalizer-4',
  'equalizer-5',
  'gateway',
];
const built = ['secrets', 'gateway', 'node-1', 'billing-1', 'card-processor', 'equalizer-1', 'kafka-1'];

const startedAt = Date.now();
const say = (line) => console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${line}`);

const engine = await findEngine(say);
if ('absent' in engine) {
  console.log(`the mesh in containers was NOT tested: ${engine.absent}`);
  process.exit(notRunCode);
}
say(engine.text);

const ports = {};
for (const name of [
  'MQTT',
  'HTTP',
  'POSTGRES',
  ...[1, 2, 3, 4, 5].flatMap((id) => [`NODE_${id}`, `EQUALIZER_${id}`]),
  ...[1, 2, 3].map((id) => `ZOOKEEPER_${id}`),
])
  ports[`${name}_PORT`] = String(await freeLastingPort());
const cpus = String(Math.min(2, os.availableParallelism()));
const environment = (version) => ({
  ...process.env,
  ...engine.env,
  ...ports,
  DOCKER_BUILDKIT: '1',
  // The engine refuses limits above what there is.
  GATEWAY_CPUS: cpus,
  POSTGRES_CPUS: cpus,
  MESH_HOME: home,
  ...socketOf({ ...process.env, ...engine.env }.DOCKER_HOST),
  ...{ CHAOS_TIMES: '1', LOAD_DEVICES: '20', LOAD_RATE: '200', LOAD_SECONDS: '5' },
  THERMOMESH_VERSION: version,
  // Our own engine has no way out of its networks: packages come over the machine's.
  ...(engine.own ? { BUILD_NETWORK: 'host' } : {}),
});

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => (interrupted = true));
try {
  await test();
  say('passed');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
  await showEnd().catch((fault) => console.error(fault.message));
} finally {
  await takeDown();
}

async function test() {
  const { pulled, made } = await ensureBaseImages(engine, say);
  say(
    `base images: ${pulled.length} pulled, ${made.length} made of Debian's packages, the others were there`,
  );
  await stage('images of this version', async () => build(root, current));
  const from = await stage('images of the previous commit', buildPrevious);
  const first = from === undefined ? current : previous;
  await stage(`up (${from === undefined ? 'this version' : 'the previous commit'})`, async () =>
    up(first, from === undefined ? root : previousFolder),
  );
  await stage('a load, with nothing lost', async () =>
    judged(await mesh('load', '--devices', '20', '--rate', '200', '--seconds', '5')),
  );
  if (from !== undefined) await stage(`rolling upgrade from ${from} under load`, upgrade);
  await stage('every container is locked in', hardening);
  await stage("the coordinator's container is killed", async () => {
    const document = await mesh('chaos', 'coordinator', '--load', '--rate', '200', '--devices', '20');
    assert.equal(document.ok, true);
    assert.equal(document.failoverMs.n, 1);
  });
  await stage('the coordinator is cut off its networks', async () => {
    const words = [
      '--disconnect',
      'mesh',
      'data',
      '--pause-ms',
      '5000',
      '--load',
      '--rate',
      '200',
      '--devices',
      '20',
    ];
    const document = await mesh('chaos', 'coordinator', ...words);
    assert.deepEqual(
      document.rules.filter(({ ok }) => !ok),
      [],
    );
    assert.equal(document.ok, true);
  });
  await stage('the coordinator is paused', async () => {
    const document = await mesh(
      'chaos',
      'coordinator',
      '--signal',
      'STOP',
      '--pause-ms',
      '4000',
      '--load',
      '--rate',
      '200',
      '--devices',
      '20',
    );
    assert.equal(document.ok, true);
  });
  await stage('the profile "chaos": the same from a container', async () => {
    const { stdout } = await compose(current, '--profile', 'chaos', 'run', '--rm', '--no-deps', 'chaos');
    assert.match(stdout, /PASSED: coordinator, 1 round/);
  });
  await stage('the profile "load": readings from a container', async () => {
    const { stdout } = await compose(current, '--profile', 'load', 'run', '--rm', '--no-deps', 'load');
    assert.match(stdout, /lost 0, duplicated 0, corrupted 0/);
  });
  await stage('the verdict, at rest', async () => {
    await compose(current, 'stop', 'fleet');
    const { ok, invariants } = await mesh('verify');
    for (const { id, ok: kept, detail } of invariants)
      say(`  ${kept ? 'kept  ' : 'BROKEN'} ${id}: ${detail}`);
    assert.equal(ok, true);
  });
}

/** Where the profile "chaos" finds the engine, and as whom. */
function socketOf(dockerHost = 'unix:///var/run/docker.sock') {
  if (!dockerHost.startsWith('unix://')) return {};
  const socket = dockerHost.slice('unix://'.length);
  return { DOCKER_SOCKET: socket, DOCKER_GROUP: String(statSync(socket).gid) };
}

/** Runs one part of the test and says how long it took. */
async function stage(what, work) {
  if (interrupted) throw new Error('interrupted');
  const begunAt = Date.now();
  const result = await work();
  say(`${what}: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`);
  return result;
}

async function compose(version, ...words) {
  return composeIn(root, version, ...words);
}

/** @param folder of the repository that the Compose file is taken from */
async function composeIn(folder, version, ...words) {
  const [command, ...first] = engine.compose;
  const place = ['--project-name', project, '--project-directory', folder];
  const all = [
    ...first,
    ...place,
    '--file',
    path.join(folder, 'docker-compose.yml'),
    '--ansi',
    'never',
    ...words,
  ];
  return run(command, all, { env: environment(version), cwd: folder, maxBuffer: outputBytesMax });
}

/** A command of the mesh tool; its JSON document, whatever it exits with. */
async function mesh(...words) {
  const script = path.join(root, 'tools/mesh/src/main.ts');
  const all = [script, '--target', 'compose', ...words, '--name', project, '--json'];
  const outcome = await run(process.execPath, all, {
    env: environment(current),
    maxBuffer: outputBytesMax,
  }).catch((error) => error);
  if (outcome.stdout === undefined || outcome.stdout === '') throw outcome;
  return JSON.parse(outcome.stdout);
}

function judged({ sent, acked, lost, duplicated, corrupted, rejected }) {
  assert.ok(acked > 0 && acked <= sent, `${acked} of ${sent} acked`);
  assert.deepEqual(
    { lost, duplicated, corrupted, rejected },
    { lost: 0, duplicated: 0, corrupted: 0, rejected: 0 },
  );
}

async function build(folder, version) {
  await composeIn(folder, version, 'build', '--quiet', ...built);
}

/** @returns its commit, or undefined if there is none that knows containers */
async function buildPrevious() {
  const git = async (...words) => (await run('git', ['-C', root, ...words])).stdout.trim();
  const commit = await git('rev-parse', '--verify', '--quiet', 'HEAD~1^{commit}').catch(() => undefined);
  const known =
    commit !== undefined &&
    (await git('cat-file', '-e', `${commit}:docker-compose.yml`).then(
      () => true,
      () => false,
    ));
  if (!known) {
    say('  the previous commit is not here or knows no containers: the upgrade is NOT tested');
    return undefined;
  }
  await run('bash', [
    '-c',
    `mkdir -p '${previousFolder}' && git -C '${root}' archive ${commit} | tar -x -C '${previousFolder}'`,
  ]);
  await build(previousFolder, previous);
  return commit.slice(0, 10);
}

async function up(version, folder) {
  await composeIn(folder, version, 'up', '--detach', '--no-build', '--quiet-pull');
  await untilReady();
}

async function untilReady() {
  const deadline = Date.now() + waitTimeoutMs;
  for (;;) {
    const status = await mesh('status').catch((error) => ({ ready: false, why: error.message }));
    if (status.ready) return status;
    if (Date.now() > deadline) throw new Error(`the mesh does not get ready: ${JSON.stringify(status)}`);
    await delay(500);
  }
}

/** What nobody may have by accident: root, a way to write, an open port. */
async function hardening() {
  const ids = (
    await docker('ps', '--all', '--quiet', '--filter', `label=com.docker.compose.project=${project}`)
  ).split('\n');
  const containers = JSON.parse(await docker('inspect', ...ids));
  assert.ok(containers.length >= 20, `${containers.length} containers`);
  for (const { Name, Config, HostConfig, NetworkSettings } of containers) {
    // What the previous commit left as it was is not this one's.
    if (Config.Image.endsWith(`:${previous}`)) continue;
    const ours = Config.Image.startsWith('thermomesh/');
    const isSecrets = Config.Labels['com.docker.compose.service'] === 'secrets';
    if (!isSecrets)
      assert.ok(Config.User !== '' && !/^(0|root)(:|$)/.test(Config.User), `${Name} runs as root`);
    assert.deepEqual(HostConfig.CapDrop, ['ALL'], Name);
    assert.ok(HostConfig.Memory > 0 && HostConfig.PidsLimit > 0, `${Name} has no limits`);
    assert.ok(HostConfig.SecurityOpt.includes('no-new-privileges:true'), Name);
    if (ours) assert.equal(HostConfig.ReadonlyRootfs, true, Name);
    for (const bindings of Object.values(NetworkSettings.Ports ?? {}))
      for (const { HostIp } of bindings ?? []) assert.equal(HostIp, '127.0.0.1', `${Name} is open to others`);
    // Secrets are files: no variable holds one.
    for (const variable of Config.Env)
      assert.doesNotMatch(variable, /^[A-Z_]*(SECRET|PASSWORD|TOKEN)=./, Name);
  }
}

/** One service after the other gets the new images, on the data of the old ones. */
async function upgrade() {
  const load = mesh('load', '--devices', '20', '--rate', '200', '--seconds', '600', '--drain-seconds', '120');
  let over;
  load.then(
    (document) => (over = { document }),
    (error) => (over = { error }),
  );
  await untilAccepting();
  for (const service of migrations)
    await compose(current, 'run', '--rm', '--no-deps', '--quiet-pull', service);
  for (const service of rolled) {
    if (over !== undefined) throw over.error ?? new Error('the load ended too soon');
    await compose(
      current,
      'up',
      '--detach',
      '--no-deps',
      '--no-build',
      '--wait',
      '--wait-timeout',
      String(waitSeconds),
      service,
    );
  }
  await untilReady();
  await endLoad();
  judged(await load);
  const images = await docker(
    'ps',
    '--filter',
    `label=com.docker.compose.project=${project}`,
    '--format',
    '{{.Names}} {{.Image}}',
  );
  for (const service of rolled)
    assert.match(images, new RegExp(`${project}-${service}-1 thermomesh/\\S+:${current}`));
}

async function untilAccepting() {
  const accepted = async () => (await mesh('status')).accounts.accepted ?? 0;
  const before = await accepted();
  const deadline = Date.now() + waitTimeoutMs;
  while ((await accepted()) < before + 100) {
    if (Date.now() > deadline) throw new Error('the load does not begin');
    await delay(200);
  }
}

/** The generator ends in order when its parent is told to: both are ours. */
async function endLoad() {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,args=']);
  const lines = stdout.split('\n').filter((line) => line.includes(' load ') && line.includes(home));
  for (const line of lines) process.kill(Number(line.trim().split(/\s+/)[0]), 'SIGTERM');
}

async function docker(...words) {
  const { stdout } = await run('docker', words, { env: environment(current), maxBuffer: outputBytesMax });
  return stdout.trim();
}

/** What a reader of a failed run needs. */
async function showEnd() {
  console.error(
    await docker(
      'ps',
      '--all',
      '--filter',
      `label=com.docker.compose.project=${project}`,
      '--format',
      '{{.Names}}  {{.Status}}',
    ),
  );
  const { stdout } = await compose(current, 'logs', '--no-color', '--tail', '15');
  console.error(stdout);
}

/** Containers, networks, volumes, the images of this run and the engine, if it is ours; then looks that nothing is left. */
async function takeDown() {
  const begunAt = Date.now();
  try {
    await endLoad().catch(() => undefined);
    await compose(current, '--profile', '*', 'down', '--volumes', '--remove-orphans', '--timeout', '10');
    const images = (await docker('images', '--format', '{{.Repository}}:{{.Tag}}'))
      .split('\n')
      .filter((image) => image.includes(project));
    if (images.length > 0) await docker('rmi', '--force', ...images);
    for (const [kind, words] of Object.entries({
      container: ['ps', '--all'],
      network: ['network', 'ls'],
      volume: ['volume', 'ls'],
    })) {
      const left = await docker(
        ...words,
        '--quiet',
        '--filter',
        `label=com.docker.compose.project=${project}`,
      );
      if (left !== '') throw new Error(`left behind: ${kind} ${left}`);
    }
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
  await rm(home, { recursive: true, force: true });
  await engine.stop();
  say(`down, nothing left: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`);
}
