/** Checks that our containers and images are as hardened as they must be, while they run. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { until } from './project.mjs';

const root = path.resolve(import.meta.dirname, '../../..');
const restartTimeoutMs = 60_000;
const lookUpTimeoutMs = 4_000;
/** The networks of each kind of service; it is on no other. */
const networksOf = [
  [/^gateway$/, ['data', 'front', 'mesh']],
  [/^(node|billing|equalizer)-\d$/, ['data', 'mesh']],
  [/^(redis|kafka-\d|migrate-.*)$/, ['data']],
  [/^(postgres|zookeeper-\d)$/, ['data', 'ops']],
  [/^card-processor$/, ['mesh']],
  [/^fleet$/, ['front']],
  [/^prometheus$/, ['mesh', 'ops']],
];
const onceOnly = /^(secrets|migrate-.*)$/;

/**
 * Checks that no container is root by accident, can write, has no limits, has an open port, or is
 * on another service's network.
 */
export async function checkContainers(project) {
  const containers = await project.containers();
  assert.ok(containers.length >= 26, `${containers.length} containers`);
  for (const { Name, Config, HostConfig, NetworkSettings } of containers) {
    const service = Config.Labels['com.docker.compose.service'];
    const ours = Config.Image.startsWith('thermomesh/');
    // The exception makes the secrets, gives each to its group, and ends.
    if (service !== 'secrets')
      assert.ok(Config.User !== '' && !/^(0|root)(:|$)/.test(Config.User), `${Name} runs as root`);
    assert.deepEqual(HostConfig.CapDrop, ['ALL'], Name);
    assert.equal(HostConfig.Privileged, false, Name);
    assert.ok(HostConfig.SecurityOpt.includes('no-new-privileges:true'), Name);
    assert.ok(
      HostConfig.Memory > 0 && HostConfig.PidsLimit > 0 && HostConfig.NanoCpus > 0,
      `${Name} has no limits`,
    );
    const { Name: policy } = HostConfig.RestartPolicy;
    if (!onceOnly.test(service)) assert.equal(policy, 'unless-stopped', Name);
    if (ours) {
      assert.ok(HostConfig.Init === true || Config.Entrypoint[0] === '/usr/bin/tini', `${Name} has no init`);
      assert.equal(HostConfig.ReadonlyRootfs, true, Name);
      assert.deepEqual(HostConfig.Dns, ['127.0.0.1'], Name);
      assert.ok(Config.Image.endsWith(`:${project.current}`), `${Name} runs ${Config.Image}`);
    }
    for (const bindings of Object.values(HostConfig.PortBindings ?? {}))
      for (const { HostIp } of bindings ?? []) assert.equal(HostIp, '127.0.0.1', `${Name} is open to others`);
    // Secrets are files: no variable holds one.
    for (const variable of Config.Env)
      assert.doesNotMatch(variable, /^[A-Z_]*(SECRET|PASSWORD|TOKEN)=./, Name);
    const wanted = networksOf.find(([pattern]) => pattern.test(service))?.[1] ?? [];
    const networks = Object.keys(NetworkSettings.Networks).filter((network) => network !== 'none');
    assert.deepEqual(
      networks.toSorted(),
      wanted.map((network) => `${project.name}_${network}`),
      Name,
    );
  }
  assert.equal(
    await project.docker('network', 'inspect', '--format', '{{.Internal}}', `${project.name}_data`),
    'true',
  );
}

/** Checks the same rules from inside the containers. */
export async function checkInside(project) {
  const { inside } = project;
  const fails = async (service, ...words) => {
    const failed = await inside(service, ...words).then(
      () => false,
      () => true,
    );
    assert.ok(failed, `${service} can ${words.join(' ')}`);
  };
  assert.match(await inside('gateway', 'id'), /^uid=10001\(mesh\)/);
  await fails('gateway', 'touch', '/app/here');
  // Each container may read only its own secrets.
  await inside('billing-1', 'cat', '/run/secrets/processor.secret');
  await fails('node-1', 'cat', '/run/secrets/processor.secret');
  await fails('fleet', 'cat', '/run/secrets/database.url');
  // A container on the front network finds no store. An unknown name fails at once, whichever name
  // servers there are.
  const lookUp = (name) => ['node', '-e', lookUpScript, name, String(lookUpTimeoutMs)];
  await inside('node-1', ...lookUp('postgres'));
  await fails('fleet', ...lookUp('postgres'));
  assert.match(await inside('node-1', ...lookUp('unknown.mesh')).catch(({ stdout }) => stdout), /^unknown/);
}

/**
 * Prints the outcome of a look-up. Exits with 1 if the name has no address, with 2 without an
 * answer.
 */
const lookUpScript = `
const timer = setTimeout(() => { console.log('silent'); process.exit(2); }, Number(process.argv[2]));
require('node:dns').lookup(process.argv[1], (error) => {
  clearTimeout(timer); console.log(error === null ? 'known' : 'unknown ' + error.code); process.exitCode = error === null ? 0 : 1;
});`;

/** Checks that the engine starts a container again whose process dies by itself. */
export async function checkRestart(project) {
  const find = async () =>
    (await project.containers()).find(
      ({ Config }) => Config.Labels['com.docker.compose.service'] === 'billing-2',
    );
  const { RestartCount } = await find();
  // tini is the first process, and ends with the process that it has started.
  await project
    .inside('billing-2', 'sh', '-c', 'kill -9 $(cat /proc/1/task/1/children)')
    .catch(() => undefined);
  await until('billing-2 to be started again', restartTimeoutMs, async () => {
    const now = await find();
    return now.RestartCount > RestartCount && now.State.Health.Status === 'healthy';
  });
}

/** Checks that images are labelled, have tini and a health check, and no development packages. */
export async function checkImages(project) {
  const { docker, current, say } = project;
  const names = ['gateway', 'analytics', 'billing', 'equalizer', 'card-processor', 'mesh', 'kafka'];
  const tags = names.map((name) => `thermomesh/${name}:${current}`);
  const { devDependencies } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  for (const [index, { Config, Size }] of JSON.parse(await docker('image', 'inspect', ...tags)).entries()) {
    const tag = tags[index];
    say(`  ${names[index]}: ${(Size / 1e6).toFixed(0)} MB`);
    // Kafka's container uses the engine's tini, by the Compose file.
    if (names[index] !== 'kafka') assert.equal(Config.Entrypoint[0], '/usr/bin/tini', tag);
    assert.ok(!['', '0', 'root'].includes(Config.User), `${tag} runs as root`);
    assert.ok(Config.Healthcheck?.Test?.length > 0, `${tag} has no health check`);
    for (const label of ['title', 'version', 'revision', 'licenses'])
      assert.ok(
        Config.Labels[`org.opencontainers.image.${label}`] !== undefined,
        `${tag} has no label ${label}`,
      );
    if (names[index] === 'kafka') continue;
    const listed = await docker(
      'run',
      '--rm',
      '--network',
      'none',
      '--entrypoint',
      'ls',
      tag,
      '/app/node_modules',
    );
    const packages = listed.split('\n');
    assert.ok(packages.includes('@thermomesh'), `${tag}: ${listed}`);
    assert.deepEqual(
      packages.filter((name) => name in devDependencies),
      [],
      `${tag} has packages for development`,
    );
  }
}

/** Prints the sizes of the base images and the memory of the running mesh. */
export async function weigh(project, images) {
  const { docker, say } = project;
  const bases = JSON.parse(await docker('image', 'inspect', ...Object.values(images)));
  for (const { RepoTags, Size, Config } of bases) {
    const kind = Config.Labels?.['thermomesh.stand-in'] === 'true' ? 'stand-in' : 'official';
    say(`  ${RepoTags[0]}: ${(Size / 1e6).toFixed(0)} MB (${kind})`);
  }
  const ids = (await project.containers()).filter(({ State }) => State.Running).map(({ Id }) => Id);
  const used = await docker('stats', '--no-stream', '--format', '{{.MemUsage}}', ...ids);
  const megabytes = used.split('\n').map((line) => bytesOf(line.split(' / ')[0] ?? '') / 1e6);
  say(
    `  memory: ${megabytes.reduce((total, each) => total + each, 0).toFixed(0)} MB in ${ids.length} containers`,
  );
}

function bytesOf(text) {
  const [, value = '0', unit = 'B'] = /^([\d.]+)([A-Za-z]+)$/.exec(text) ?? [];
  return Number(value) * ({ B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }[unit] ?? 1);
}
