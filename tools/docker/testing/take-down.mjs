/**
 * Takes a Compose project down, so that nothing of it is left.
 *
 * An engine may lose count of a network's endpoints when a container that it is restarting is
 * connected, stopped or removed at that moment. Such a network "has active endpoints" although no
 * container is left (seen with 20.10), and only a restarted engine counts again. It may also stop
 * answering. So restarts are turned off first, each command has a maximum duration, and the removal
 * is repeated, the last times with a restarted engine if it is our own.
 */
import { everyStep, untilGone } from '../src/until-gone.ts';

const attemptsMax = 5;
/** The attempt before which our own engine is first restarted. */
const restartAttempt = 3;
const pauseMs = 500;
const commandTimeoutMs = 120_000;

/** Removes containers, networks and volumes of a project, after they have ended gracefully. */
export async function takeDownMesh(project) {
  const { compose, command, say, name } = project;
  const docker = dockerOf(command, false);
  const gracefully = async () => compose({ timeout: commandTimeoutMs }, 'down', '--volumes');
  await untilGone({
    what: name,
    remove: async (attempt) => (attempt === 1 ? gracefully() : removeAll(project, docker, attempt)),
    look: async () => partsOf(project, docker),
    attemptsMax,
    pauseMs,
    say,
  });
}

/** Removes all of a project, with the images that are named after it. */
export async function takeDown(project) {
  const { command, say, name } = project;
  const docker = dockerOf(command, true);
  const images = async () =>
    lines(await docker('images', '--format', '{{.Repository}}:{{.Tag}}')).filter((each) =>
      each.includes(name),
    );
  await untilGone({
    what: name,
    remove: async (attempt) =>
      everyStep([
        async () => removeAll(project, docker, attempt),
        async () => each(await images(), (all) => docker('rmi', '--force', ...all)),
      ]),
    look: async () => ({ ...(await partsOf(project, docker)), images: await images() }),
    attemptsMax,
    pauseMs,
    say,
  });
}

/** Removes containers, networks and volumes of a project without a graceful shutdown. */
async function removeAll({ engine, name, compose, say }, docker, attempt) {
  const ofProject = ['--filter', `label=com.docker.compose.project=${name}`];
  const containers = async () => lines(await docker('ps', '--all', '--quiet', ...ofProject));
  const networks = async () => lines(await docker('network', 'ls', '--quiet', ...ofProject));
  const restart = async () => {
    if (engine.restart === undefined || attempt < restartAttempt) return;
    say('  the engine is restarted, so that it counts the endpoints of its networks again');
    await engine.restart();
  };
  await everyStep([
    restart,
    // A container that the engine restarts while it is removed leaves an endpoint behind.
    async () => each(await containers(), (all) => docker('update', '--restart=no', ...all)),
    // A container that is removed needs no graceful shutdown, and a paused one could not do it.
    async () => each(await containers(), (all) => docker('rm', '--force', '--volumes', ...all)),
    async () => {
      const how = { lasting: true, timeout: commandTimeoutMs };
      await compose(how, '--profile', '*', 'down', '--volumes', '--remove-orphans');
    },
    async () => {
      for (const network of await networks()) await removeNetwork(docker, network);
    },
  ]);
}

/** Removes a network that is left, with the endpoints that it still names. */
async function removeNetwork(docker, network) {
  const format = '{{range .Containers}}{{println .Name}}{{end}}';
  const endpoints = lines(await docker('network', 'inspect', '--format', format, network));
  await everyStep([
    ...endpoints.map((name) => async () => docker('network', 'disconnect', '--force', network, name)),
    async () => docker('network', 'rm', network),
  ]);
}

/** Names what is left. In our own engine every container and volume is the project's. */
async function partsOf({ engine, name }, docker) {
  const ofProject = ['--filter', `label=com.docker.compose.project=${name}`];
  const filter = engine.own ? [] : ofProject;
  return {
    containers: lines(await docker('ps', '--all', '--format', '{{.Names}}', ...filter)),
    networks: lines(await docker('network', 'ls', '--format', '{{.Name}}', ...ofProject)),
    volumes: lines(await docker('volume', 'ls', '--quiet', ...filter)),
  };
}

function dockerOf(command, lasting) {
  const how = { lasting, timeout: commandTimeoutMs };
  return async (...words) => (await command('docker', words, how)).stdout.trim();
}

const lines = (text) => text.split('\n').filter((line) => line !== '');

async function each(names, work) {
  if (names.length > 0) await work(names);
}
